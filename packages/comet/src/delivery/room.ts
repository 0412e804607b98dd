import type { RoomId } from '@halley/protocol/ids';

import { Lane } from './lane.js';

/** A room's members on this comet, and its figure over the cluster. */
export class Room {
  readonly lane: Lane;
  /** Members on other comets, as last renewed. */
  #others = 0;

  constructor(readonly id: RoomId) {
    this.lane = new Lane('room', `r/${id}`);
  }

  /** Members here, now. */
  get size(): number {
    return this.lane.roster.size;
  }

  /** Members over the cluster: those here now, and the others' as last renewed. */
  get online(): number {
    return this.size + this.#others;
  }

  /** Takes the cluster's figure, of which `reported` were this comet's own. */
  renewed(cluster: number, reported: number): void {
    this.#others = Math.max(0, cluster - reported);
  }
}

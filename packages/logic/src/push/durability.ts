import { matchesRoom } from '@halley/protocol/room-pattern';

import type { Target } from './target.js';

/** What the operator has kept beside what is for users. */
export interface DurabilityOptions {
  /** Patterns of rooms whose messages are kept. */
  readonly durableRooms: readonly string[];
  /** Whether messages to everyone may be kept. */
  readonly durableAll: boolean;
}

/** Tells what is kept: for everybody who pushes, enters or joins. */
export class Durability {
  constructor(private readonly options: DurabilityOptions) {}

  /** Whether everyone has a stream. */
  get everyone(): boolean {
    return this.options.durableAll;
  }

  /** Whether a room's messages are kept, so that it has a stream which its members follow. */
  isDurableRoom(room: string): boolean {
    return this.options.durableRooms.some((pattern) => matchesRoom(room, pattern));
  }

  /** Whether a push is kept that does not say: goim's, and those without a class. Everyone's have to ask for it. */
  isDefault(target: Target): boolean {
    switch (target.kind) {
      case 'users':
      case 'keys':
        return true;
      case 'room':
        return this.isDurableRoom(target.room);
      case 'everyone':
        return false;
    }
  }

  /** Why a push to this target can't be kept, and what would help; undefined where it can. */
  refusal(target: Target): string | undefined {
    if (target.kind === 'room' && !this.isDurableRoom(target.room))
      return `durable, and the room ${target.room} is none of push.durableRooms`;
    if (target.kind !== 'everyone') return undefined;
    if (!this.everyone) return 'durable for everyone needs push.durableAll';
    return target.speed > 0 ? 'durable for everyone goes without speed' : undefined;
  }
}

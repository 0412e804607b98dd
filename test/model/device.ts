import { BEFORE_ALL, type Position } from '@halley/store/streams/streams';

import type { Push } from './bus.js';
import type { Connection, Frame } from './connection.js';
import { show } from './invariants.js';
import type { World } from './world.js';

/**
 * A client. One that keeps its cursor (SDK) shows each entry once over all its connections; one that doesn't (goim's, with
 * a key of its own) goes on where the server's cursor of it stands, which may repeat entries, never skip any.
 */
export class Device {
  connection: Connection | undefined;
  cursor: Position = BEFORE_ALL;
  /** Up to where entries were shown or declared lost over all connections. */
  shownThrough: Position = BEFORE_ALL;
  /** In the order shown. */
  readonly shown: Push[] = [];
  readonly gaps: { readonly after: Position; readonly through: Position }[] = [];
  readonly #ids = new Set<number>();

  constructor(
    private readonly world: World,
    readonly index: number,
    readonly stream: number,
    readonly keepsCursor: boolean,
  ) {}

  /** What a client does when a frame arrives. */
  receive({ position, push }: Frame): void {
    if (position <= this.cursor) return;
    if (push === undefined) this.gaps.push({ after: this.cursor, through: position });
    else this.#show(push, position);
    this.cursor = position;
    this.shownThrough = Math.max(this.shownThrough, position);
  }

  #show(push: Push, position: Position): void {
    if (push.only !== undefined && push.only !== this.index) {
      this.world.check.fail('wrong user', `device ${this.index} shows ${push.id}, which is for ${push.only}`);
    }
    const known = this.#ids.has(push.id);
    if (known && this.keepsCursor) {
      if (!this.world.faults.clientsForgetIds) return;
      this.world.check.fail('twice', `device ${this.index} shows ${push.id} again, at ${show(position)}`);
    }
    this.#ids.add(push.id);
    if (!known) this.shown.push(push);
  }
}

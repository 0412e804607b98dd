import { Start } from '@halley/protocol/client/bodies';
import type { ConnectionKey, RoomId, UserId } from '@halley/protocol/ids';

import type { Asker, LogicLink, RoomOpened, RoomStart, StreamStart } from '../logic-link.js';

/** Calls at once; who comes meanwhile is asked for together. */
const CALLS_AT_ONCE = 4;
/** Rooms of one call. */
const MAX_ROOMS = 256;
/** The end is the same for everybody. */
const NOBODY: Asker = { mid: '0' as UserId, key: '' as ConnectionKey };

interface Waiting {
  readonly answer: Promise<StreamStart>;
  readonly resolve: (start: StreamStart) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Asks logic where the streams of durable rooms end, for connections that join there. Joins that come in one tick, or while
 * the calls allowed at once are under way, share calls, and those to one room the answer.
 */
export class RoomEnds {
  #waiting = new Map<RoomId, Waiting>();
  #calls = 0;
  #scheduled = false;

  constructor(private readonly deps: { readonly logic: Pick<LogicLink, 'openRooms'> }) {}

  /**
   * The end of a room's stream, read after the call, so that with the room written before it everything later is told to
   * this comet. Rejects as {@link LogicLink.openRooms}.
   */
  of(room: RoomId): Promise<StreamStart> {
    let waiting = this.#waiting.get(room);
    if (!waiting) {
      waiting = waitingFor();
      this.#waiting.set(room, waiting);
    }
    this.#callSoon();
    return waiting.answer;
  }

  #callSoon(): void {
    if (this.#scheduled || this.#calls >= CALLS_AT_ONCE || this.#waiting.size === 0) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      void this.#call();
    });
  }

  async #call(): Promise<void> {
    const batch = [...this.#waiting].slice(0, MAX_ROOMS);
    for (const [room] of batch) this.#waiting.delete(room);
    this.#calls += 1;
    this.#callSoon();
    try {
      const starts = batch.map(([room]): RoomStart => ({ room, cursor: undefined, start: Start.Newest }));
      const opened = await this.deps.logic.openRooms(NOBODY, starts);
      for (const [index, [, waiting]] of batch.entries())
        waiting.resolve((opened[index] as RoomOpened).start);
    } catch (error) {
      for (const [, waiting] of batch) waiting.reject(error);
    } finally {
      this.#calls -= 1;
      this.#callSoon();
    }
  }
}

function waitingFor(): Waiting {
  let resolve: Waiting['resolve'] = () => undefined;
  let reject: Waiting['reject'] = () => undefined;
  const answer = new Promise<StreamStart>((done, failed) => {
    resolve = done;
    reject = failed;
  });
  return { answer, resolve, reject };
}

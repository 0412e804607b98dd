import { ClientError } from '../client-error.js';
import type { Clock } from '../clock.js';
import type { CursorStore } from '../stores/store.js';
import type { StreamCursor } from './continue.js';

const PREFIX = 'cursor:';
const RETRY_MS = 1_000;

/** The cursors of all streams, as they are saved in the store. */
export class Cursors {
  readonly #store: CursorStore;
  readonly #clock: Clock;
  readonly #failed: (error: ClientError) => void;
  readonly #cursors = new Map<string, StreamCursor>();
  #stopped = false;

  constructor(store: CursorStore, clock: Clock, failed: (error: ClientError) => void) {
    this.#store = store;
    this.#clock = clock;
    this.#failed = failed;
  }

  /** Takes what the store had kept. */
  loaded(values: ReadonlyMap<string, string>): void {
    for (const [key, value] of values) {
      if (key.startsWith(PREFIX))
        this.#cursors.set(key.slice(PREFIX.length), JSON.parse(value) as StreamCursor);
    }
  }

  get(stream: string): StreamCursor | undefined {
    return this.#cursors.get(stream);
  }

  /** The inbox whose cursor is known, of this user or, ahead of the first auth, of whoever used the store. */
  inbox(): string | undefined {
    return [...this.#cursors.keys()].find((stream) => stream.startsWith('u/'));
  }

  /** Counts at once; done when it is saved. A store that fails is tried again until it takes it, or the client closes. */
  async save(stream: string, cursor: StreamCursor): Promise<void> {
    this.#cursors.set(stream, cursor);
    await this.#write(stream);
  }

  async forget(stream: string): Promise<void> {
    this.#cursors.delete(stream);
    await this.#write(stream);
  }

  /** A store that fails is tried no more. */
  stop(): void {
    this.#stopped = true;
  }

  /** Writes the cursor as it is when the store takes it: it may have grown since. */
  async #write(stream: string): Promise<void> {
    for (;;) {
      try {
        const cursor = this.#cursors.get(stream);
        await this.#store.set(PREFIX + stream, cursor && JSON.stringify(cursor));
        return;
      } catch (cause) {
        this.#failed(new ClientError('store_failed', 'The store failed.', { temporary: true, cause }));
        if (this.#stopped) return;
        await new Promise<void>((resolve) => this.#clock.after(RETRY_MS, resolve));
      }
    }
  }
}

import { Ack, type AuthReply, type Deliver } from '@halley/protocol/client/bodies';
import { encodeMessageFrame } from '@halley/protocol/client/encode';
import { OperationV2 } from '@halley/protocol/operation';

interface Cursor {
  readonly epoch: string;
  readonly position: number;
}

/** What a connection of version 2 has still to acknowledge. */
export class Acks {
  readonly #window: Pick<AuthReply, 'windowEntries' | 'windowBytes'>;
  readonly #cursors = new Map<string, Cursor>();
  #entries = 0;
  #bytes = 0;

  constructor(window: Pick<AuthReply, 'windowEntries' | 'windowBytes'>) {
    this.#window = window;
  }

  /** Notes how far a stream has come; whether it is to be told at once, or just within a second, or never. */
  note({ stream, epoch, through, entries }: Deliver): 'now' | 'soon' | 'never' {
    if (epoch === '') return 'never';
    this.#cursors.set(stream, { epoch, position: through });
    this.#entries += entries.length;
    for (const { body } of entries) this.#bytes += body.length;
    const { windowEntries, windowBytes } = this.#window;
    return this.#entries * 2 >= windowEntries || this.#bytes * 2 >= windowBytes ? 'now' : 'soon';
  }

  /** The frame that acknowledges all; undefined where there is nothing. */
  take(): Uint8Array | undefined {
    if (this.#cursors.size === 0) return undefined;
    const cursors = [...this.#cursors].map(([stream, cursor]) => ({ stream, ...cursor }));
    this.#cursors.clear();
    this.#entries = 0;
    this.#bytes = 0;
    return encodeMessageFrame(OperationV2.Ack, 0, Ack, { cursors });
  }
}

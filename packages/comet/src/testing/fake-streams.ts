import { Start } from '@halley/protocol/client/bodies';

import type { Delivered } from '../delivery/deliverer.js';
import type {
  StartAsk,
  StreamCursor,
  StreamEntry,
  StreamPage,
  StreamRead,
  StreamStart,
} from '../logic-link.js';

/** What is told of a message of which there is nothing to tell. */
export const NOTHING_TOLD = { id: '', acceptedAtMs: 0, expireAtMs: 0, traceparent: '', sender: undefined };

/** Pushes that stand in the streams of a logic in the process, one partition for all. */
export class FakeStreams {
  epoch = 'e1';
  /** Up to where the bus was taken in. */
  applied = -1;
  /** What retention took. */
  floor = -1;
  /** Where devices are known to be, by key. */
  readonly cursors = new Map<string, StreamCursor>();
  /** The calls that read, each with its reads. */
  readonly calls: (readonly StreamRead[])[] = [];
  #entries = new Map<string, StreamEntry[]>();

  /** Appends an entry and answers the delivery that tells of it. */
  append(stream: string, fields: Partial<StreamEntry> = {}): Delivered {
    this.applied += 1;
    const entries = this.#entries.get(stream) ?? [];
    this.#entries.set(stream, entries);
    const prev = entries.at(-1)?.position ?? -1;
    const body = Buffer.from(String(this.applied));
    const position = this.applied;
    const entry = { ...NOTHING_TOLD, position, id: `m${position}`, operation: 5, body, keys: [], ...fields };
    entries.push(entry);
    return hintOf(stream, entry, prev);
  }

  /** All is gone, and positions begin again. */
  begin(epoch: string): void {
    this.epoch = epoch;
    this.applied = -1;
    this.floor = -1;
    this.#entries.clear();
  }

  /** Newest position; -1 is none. */
  newest(stream: string): number {
    return this.#entries.get(stream)?.at(-1)?.position ?? -1;
  }

  start(stream: string, key: string | undefined): StreamStart {
    const known = key === undefined ? undefined : this.cursors.get(key);
    const { epoch, position } = known ?? { epoch: this.epoch, position: this.applied };
    return { stream, epoch, position, atEnd: known === undefined, kept: key !== undefined };
  }

  /** Where a device with version 2 begins: at its cursor, at what `start` says, else at what is known of it, or the oldest. */
  startAt(stream: string, { cursor, start }: StartAsk, key: string | undefined): StreamStart {
    const known = start === Start.Unspecified && key !== undefined ? this.cursors.get(key) : undefined;
    const position = start === Start.Newest ? this.applied : this.floor;
    const at = cursor ?? known ?? { epoch: this.epoch, position };
    const atEnd = at.epoch === this.epoch && at.position >= this.applied;
    return { stream, epoch: at.epoch, position: at.position, atEnd, kept: key !== undefined };
  }

  read(reads: readonly StreamRead[]): StreamPage[] {
    this.calls.push(reads);
    return reads.map((read) => this.#page(read));
  }

  #page({ stream, epoch, after, maxEntries, maxBytes }: StreamRead): StreamPage {
    const asked = epoch === this.epoch ? after : -1;
    const lost = asked < this.floor || epoch !== this.epoch;
    const from = Math.max(asked, this.floor);
    const above = (this.#entries.get(stream) ?? []).filter(({ position }) => position > from);
    let bytes = 0;
    const entries = above.filter(({ body }, index) => {
      bytes += body.length;
      return index === 0 || (index < maxEntries && bytes <= maxBytes);
    });
    const more = entries.length < above.length;
    return {
      epoch: this.epoch,
      entries,
      through: more ? (entries.at(-1)?.position ?? from) : Math.max(from, this.applied),
      more,
      ...(lost ? { gap: { after: asked, through: this.floor } } : {}),
    };
  }
}

function hintOf(stream: string, entry: StreamEntry, prev: number): Delivered {
  const { keys, ...told } = entry;
  return {
    ...told,
    control: false,
    keys: [],
    rooms: [],
    everyone: false,
    speed: 0,
    source: '',
    streams: [{ stream, prev, keys }],
    withoutBody: false,
  };
}

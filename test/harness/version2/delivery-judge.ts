import {
  type AuthReply,
  type Cursor,
  type Deliver,
  GapReason,
  type RoomAnswer,
} from '@halley/protocol/client/bodies';

/** Where one stream of a connection is. */
interface Place {
  epoch: string;
  through: number;
  /** Entries that were not acknowledged. */
  unacked: { readonly position: number; readonly bytes: number }[];
}

/** Looks at every frame that delivers to one connection: what the page says under "Delivering" must hold of it. */
export class DeliveryJudge {
  /** By stream; one of a room that is not kept has no place. */
  readonly #followed = new Map<string, Place | undefined>();
  #windowEntries = Infinity;
  #windowBytes = Infinity;

  constructor(private readonly breach: (what: string) => void) {}

  /** 8 came. */
  opened({ inbox, room, windowEntries, windowBytes }: AuthReply): void {
    this.#windowEntries = windowEntries;
    this.#windowBytes = windowBytes;
    if (inbox) this.#follow(inbox);
    if (room !== '') this.#followed.set(`r/${room}`, undefined);
  }

  /** A room was joined, or is joined still. */
  joined({ room, durable, epoch, position }: RoomAnswer): void {
    const stream = `r/${room}`;
    if (!durable) {
      if (!this.#followed.has(stream)) this.#followed.set(stream, undefined);
      return;
    }
    const known = this.#followed.get(stream);
    if (known?.epoch !== epoch || known.through !== position) this.#follow({ stream, epoch, position });
  }

  /** The answer to leaving it came. */
  left(room: string): void {
    this.#followed.delete(`r/${room}`);
  }

  /** The client acknowledges. */
  acked({ stream, epoch, position }: Cursor): void {
    const place = this.#followed.get(stream);
    if (!place || place.epoch !== epoch || position > place.through) return;
    place.unacked = place.unacked.filter((entry) => entry.position > position);
  }

  delivered(frame: Deliver): void {
    if (frame.epoch === '') this.#unkept(frame);
    else this.#kept(frame);
  }

  #unkept({ stream, entries, gap }: Deliver): void {
    const isRoom = stream.startsWith('r/');
    if (isRoom && !this.#followed.has(stream)) this.breach(`${stream} is not joined`);
    if (gap) this.breach(`a gap without an epoch in ${stream}`);
    if (entries.some(({ position }) => position !== 0))
      this.breach(`a position without an epoch in ${stream}`);
  }

  #kept({ stream, epoch, after, entries, through, gap }: Deliver): void {
    let place = this.#followed.get(stream);
    if (!place) {
      if (stream !== 'all') return this.breach(`${stream} is not followed`);
      place = { epoch, through: after, unacked: [] };
      this.#followed.set(stream, place);
    }
    if (epoch !== place.epoch) {
      if (gap?.reason !== GapReason.Epoch) this.breach(`another epoch of ${stream} without a gap`);
      place.epoch = epoch;
      place.unacked = [];
    } else if (after !== place.through) {
      this.breach(`${stream} goes on behind ${after}, and was at ${place.through}`);
    }
    let last = gap?.through ?? after;
    for (const { position, body } of entries) {
      if (position <= last) this.breach(`${stream} has ${position} behind ${last}`);
      last = position;
      place.unacked.push({ position, bytes: body.length });
    }
    if (through < last) this.breach(`${stream} ends at ${through}, with an entry at ${last}`);
    place.through = through;
    this.#judgeWindow(stream, place);
  }

  #judgeWindow(stream: string, { unacked }: Place): void {
    const bytes = unacked.reduce((sum, entry) => sum + entry.bytes, 0);
    if (unacked.length > this.#windowEntries) this.breach(`${unacked.length} entries of ${stream} ahead`);
    if (bytes > this.#windowBytes && unacked.length > 1) this.breach(`${bytes} bytes of ${stream} ahead`);
  }

  #follow({ stream, epoch, position }: Cursor): void {
    this.#followed.set(stream, { epoch, through: position, unacked: [] });
  }
}

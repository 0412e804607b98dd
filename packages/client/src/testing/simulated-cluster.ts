import { GapReason, type Ack, type RoomsRequest } from '@halley/protocol/client/bodies';
import { encodeMessageFrame } from '@halley/protocol/client/encode';
import type { WriteFields } from '@halley/protocol/client/message';
import { Deliver as DeliverBody, RoomsReply } from '@halley/protocol/client/bodies';
import { OperationV2 } from '@halley/protocol/operation';

import { AUTH_REPLY, type FakeConnection, FakeServer } from './fake-server.js';
import { entryAt } from './harness.js';

/** A stream as a cluster keeps it. */
export interface SimulatedStream {
  readonly name: string;
  epoch: number;
  /** Of the current epoch, growing, with holes. */
  positions: number[];
  /** Below or at it nothing is kept any more. */
  floor: number;
  newest: number;
  /** All that ever was: `epoch/position`, in order. */
  readonly ever: string[];
}

/** How one connection stands in one stream. */
interface Reader {
  readonly connection: FakeConnection;
  readonly stream: SimulatedStream;
  /** Behind it the next frame begins; of another epoch a gap comes first. */
  cursor: { epoch: number; position: number };
  acked: number;
  gap: WriteFields<typeof DeliverBody.fields>['gap'];
}

type Random = () => number;

/** Chance that a seed decides (mulberry32): at least 0 and below 1. */
export function seeded(seed: number): Random {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Frames in flight: entries of one stream that may be ahead of the acks. */
const WINDOW = 8;

/**
 * A cluster that keeps the protocol, over a network that does not: frames are lost, repeated and reordered, connections cut,
 * streams trimmed and begun anew. What it says is always true, but it does not always arrive.
 */
export class SimulatedCluster {
  readonly server = new FakeServer();
  readonly streams: readonly SimulatedStream[];
  /** While false the network is kind. */
  faulty = true;
  #readers: Reader[] = [];

  constructor(
    private readonly random: Random,
    names: readonly string[] = ['u/7', 'r/a', 'r/b'],
  ) {
    this.streams = names.map((name) => ({ name, epoch: 1, positions: [], floor: -1, newest: -1, ever: [] }));
    this.server.onAuth = (connection, { cursor }) => {
      const inbox = this.#stream('u/7');
      const reader = this.#follow(connection, inbox, cursor);
      const { epoch, position } = reader.cursor;
      return {
        ...AUTH_REPLY,
        windowEntries: WINDOW,
        inbox: { stream: 'u/7', epoch: `e${epoch}`, position },
      };
    };
    this.server.handlers.set(OperationV2.Ack, (connection, { value }) => {
      for (const { stream, epoch, position } of (value as unknown as Ack).cursors) {
        const reader = this.#reader(connection, stream);
        if (reader && epoch === `e${reader.cursor.epoch}` && position <= reader.cursor.position) {
          reader.acked = Math.max(reader.acked, position);
        }
      }
    });
    this.server.handlers.set(OperationV2.Rooms, (connection, { seq, value }) => {
      const answers = (value as unknown as RoomsRequest).join.map(({ room, epoch, position }) => {
        const cursor = position === undefined ? undefined : { epoch, position };
        const reader = this.#follow(connection, this.#stream(`r/${room}`), cursor);
        return {
          room,
          durable: true,
          epoch: `e${reader.cursor.epoch}`,
          position: reader.cursor.position,
        };
      });
      connection.send(OperationV2.RoomsReply, RoomsReply, { answers }, seq);
    });
  }

  /** One thing happens. */
  step(): void {
    const stream = this.streams[Math.floor(this.random() * this.streams.length)] as SimulatedStream;
    const chance = this.random();
    if (chance < 0.6) this.#append(stream);
    else if (chance < 0.62) this.#beginAnew(stream);
    else if (chance < 0.65) stream.floor = Math.max(stream.floor, stream.positions.at(-3) ?? -1);
    else if (chance < 0.68 && this.faulty) this.server.connections.at(-1)?.cut();
    this.pump();
  }

  /** The network is kind from now on: connections that have lost something end. */
  heal(): void {
    this.faulty = false;
    for (const connection of this.server.connections) connection.cut();
  }

  /** Sends what windows allow. */
  pump(): void {
    for (const reader of this.#readers) {
      const frames: Uint8Array[] = [];
      if (!reader.connection.ended) while (this.#next(reader, frames));
      this.#send(reader.connection, frames);
    }
  }

  #append(stream: SimulatedStream): void {
    stream.newest += 1 + Math.floor(this.random() * 3);
    stream.positions.push(stream.newest);
    stream.ever.push(`${stream.epoch}/${stream.newest}`);
  }

  #beginAnew(stream: SimulatedStream): void {
    stream.epoch += 1;
    stream.positions = [];
    stream.floor = -1;
    stream.newest = -1;
  }

  #follow(
    connection: FakeConnection,
    stream: SimulatedStream,
    cursor: { readonly epoch: string; readonly position: number } | undefined,
  ): Reader {
    this.#readers = this.#readers.filter(
      (other) => !other.connection.ended && !(other.connection === connection && other.stream === stream),
    );
    const from = cursor
      ? { epoch: Number(cursor.epoch.slice(1)), position: cursor.position }
      : { epoch: stream.epoch, position: -1 };
    const reader = { connection, stream, cursor: from, acked: from.position, gap: undefined };
    this.#readers.push(reader);
    return reader;
  }

  /** Adds the next frame; false when there is none, or the window is full. */
  #next(reader: Reader, frames: Uint8Array[]): boolean {
    const { stream } = reader;
    if (reader.cursor.epoch !== stream.epoch) {
      reader.cursor = { epoch: stream.epoch, position: -1 };
      reader.acked = -1;
      reader.gap = { reason: GapReason.Epoch, after: -1, through: stream.floor };
      reader.cursor.position = stream.floor;
    } else if (stream.floor > reader.cursor.position) {
      reader.gap = { reason: GapReason.Retention, after: reader.cursor.position, through: stream.floor };
      reader.cursor.position = stream.floor;
    }
    const ahead = stream.positions.filter((at) => at > reader.cursor.position);
    const unacked = stream.positions.filter((at) => at > reader.acked && at <= reader.cursor.position).length;
    const room = Math.max(WINDOW - unacked, 0);
    const entries = ahead.slice(0, Math.min(room, 1 + Math.floor(this.random() * 3)));
    if (entries.length === 0 && !reader.gap) return false;
    const after = reader.cursor.position;
    const through = entries.at(-1) ?? after;
    const frame: WriteFields<typeof DeliverBody.fields> = {
      stream: stream.name,
      epoch: `e${stream.epoch}`,
      after,
      entries: entries.map((at) => ({ ...entryAt(at), id: `${stream.epoch}/${at}` })),
      through,
      gap: reader.gap,
    };
    reader.gap = undefined;
    reader.cursor.position = through;
    frames.push(encodeMessageFrame(OperationV2.Deliver, 0, DeliverBody, frame));
    return true;
  }

  /** Now and then a frame is lost, comes twice, or behind the one that follows it. */
  #send(connection: FakeConnection, frames: Uint8Array[]): void {
    for (let index = 0; index < frames.length; index += 1) {
      const chance = this.faulty ? this.random() : 1;
      const frame = frames[index] as Uint8Array;
      if (chance < 0.03) continue;
      if (chance < 0.06) connection.raw(frame);
      const next = frames[index + 1];
      if (chance > 0.96 && chance < 1 && next) {
        frames[index + 1] = frame;
        connection.raw(next);
      } else connection.raw(frame);
    }
  }

  #stream(name: string): SimulatedStream {
    const stream = this.streams.find((other) => other.name === name);
    if (!stream) throw new Error(`There is no ${name}.`);
    return stream;
  }

  #reader(connection: FakeConnection, stream: string): Reader | undefined {
    return this.#readers.find((reader) => reader.connection === connection && reader.stream.name === stream);
  }
}

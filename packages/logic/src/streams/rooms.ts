import type { OpenRoomsReply } from '@halley/cluster/grpc/gen/halley/delivery/v1/OpenRoomsReply';
import type { RoomOpened } from '@halley/cluster/grpc/gen/halley/delivery/v1/RoomOpened';
import type { RoomStart__Output } from '@halley/cluster/grpc/gen/halley/delivery/v1/RoomStart';
import type { StreamCursor } from '@halley/cluster/grpc/gen/halley/delivery/v1/StreamCursor';
import type { NodeRef, RoomId } from '@halley/protocol/ids';
import type { Routes } from '@halley/store/routes/routes';
import { shardOf, streamOf } from '@halley/store/shard';
import type { Cursor } from '@halley/store/streams/streams';

import type { Durability } from '../push/durability.js';
import { invalid } from '../push/target.js';
import type { Cursors } from './cursor.js';

export interface RoomStreamsDeps {
  readonly routes: Pick<Routes, 'enterRoom'>;
  readonly cursors: Pick<Cursors, 'end' | 'oldest'>;
  readonly durability: Pick<Durability, 'isDurableRoom' | 'everyone'>;
  /** The bus's partition count. */
  readonly shards: number;
}

/** Rooms of one call. */
const MAX_ROOMS = 1_000;

/** The streams of durable rooms, and everyone's: which there are, and where connections begin in them. */
export class RoomStreams {
  constructor(private readonly deps: RoomStreamsDeps) {}

  /**
   * Writes that a comet has members in a room; answers whether the room is durable. What is appended from then on is told to
   * the comet. Throws `store_unavailable`.
   */
  async enter(room: RoomId, at: NodeRef): Promise<boolean> {
    await this.deps.routes.enterRoom(room, at);
    return this.deps.durability.isDurableRoom(room);
  }

  /**
   * Where one connection begins in rooms that its comet has entered: at its cursor, at the oldest that is kept, or at the
   * end. Of a room that is not durable nothing is said. Throws `store_unavailable`.
   */
  async open(starts: readonly RoomStart__Output[]): Promise<OpenRoomsReply> {
    if (starts.length > MAX_ROOMS) throw invalid('rooms', `more than ${MAX_ROOMS}`);
    /** The end is that of the shard: one look for all rooms of it. */
    const ends = new Map<number, Promise<Cursor>>();
    const rooms = await Promise.all(
      starts.map(async (start, index): Promise<RoomOpened> => {
        if (start.room_id === '') throw invalid(`rooms[${index}].room_id`, 'is empty');
        return this.deps.durability.isDurableRoom(start.room_id) ? this.#open(start, ends) : {};
      }),
    );
    return { rooms };
  }

  /** Where a connection begins in everyone's stream: at the end, where it is kept. Throws `store_unavailable`. */
  async everyone(): Promise<{ readonly everyone?: StreamCursor }> {
    if (!this.deps.durability.everyone) return {};
    const stream = streamOf.everyone;
    return { everyone: { stream, ...(await this.deps.cursors.end(stream)) } };
  }

  async #open(
    { room_id, cursor, start }: RoomStart__Output,
    ends: Map<number, Promise<Cursor>>,
  ): Promise<RoomOpened> {
    const stream = streamOf.room(room_id as RoomId);
    // Of another epoch, the first read says so.
    if (cursor) return { cursor: { stream, epoch: cursor.epoch, position: cursor.position } };
    if (start === 'START_OLDEST') return { cursor: { stream, ...(await this.deps.cursors.oldest(stream)) } };
    const shard = shardOf(stream, this.deps.shards);
    let end = ends.get(shard);
    if (!end) ends.set(shard, (end = this.deps.cursors.end(stream)));
    return { cursor: { stream, ...(await end) }, at_end: true };
  }
}

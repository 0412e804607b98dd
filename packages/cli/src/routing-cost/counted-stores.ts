import type { ConnectionKey, RoomId, UserId } from '@halley/protocol/ids';
import type { RouteQuery, Routes } from '@halley/store/routes/routes';
import { shardOf, streamOf } from '@halley/store/shard';
import type { Streams } from '@halley/store/streams/streams';

/** Calls that Redis would get: what its adapters make of each call of their port. */
export class StoreCalls {
  count = 0;
}

/** Routes of which a query counts as its adapter for Redis asks: one script for each shard that it touches. */
export function countedRoutes(routes: Routes, calls: StoreCalls, partitions: number): Pick<Routes, 'find'> {
  return {
    find: (query) => {
      calls.count += shardsOf(query, partitions);
      return routes.find(query);
    },
  };
}

/** Streams of which an append counts as one script. */
export function countedStreams(
  streams: Streams,
  calls: StoreCalls,
): Pick<Streams, 'append' | 'restore' | 'state'> {
  return {
    append: (batch) => {
      // A batch without durable pushes moves on what is taken in, with the same script.
      calls.count += 1;
      return streams.append(batch);
    },
    restore: (shard, epoch, position) => streams.restore(shard, epoch, position),
    state: (shard, epoch) => streams.state(shard, epoch),
  };
}

function shardsOf({ users = [], keys = [], rooms = [] }: RouteQuery, partitions: number): number {
  const streams = [
    ...users.map((mid: UserId) => streamOf.user(mid)),
    ...keys.map((key: ConnectionKey) => streamOf.key(key)),
    ...rooms.map((room: RoomId) => streamOf.room(room)),
  ];
  return new Set(streams.map((stream) => shardOf(stream, partitions))).size;
}

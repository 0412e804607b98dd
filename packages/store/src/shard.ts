import type { ConnectionKey, RoomId, UserId } from '@halley/protocol/ids';

/** A stream's name; it decides the shard, and so the bus partition. */
export const streamOf = {
  user: (mid: UserId): string => `u/${mid}`,
  key: (key: ConnectionKey): string => `k/${key}`,
  room: (room: RoomId): string => `r/${room}`,
  everyone: 'all',
};

/**
 * The shard of a stream among `shards`: FNV-1a 32 over UTF-8, mixed. Fixed for ever: a stream's shard must be the same
 * in every version and every tier.
 */
export function shardOf(stream: string, shards: number): number {
  let hash = 0x811c9dc5;
  for (const byte of Buffer.from(stream, 'utf8')) {
    hash ^= byte;
    hash = Math.imul(hash, 0x01000193);
  }
  hash ^= hash >>> 16;
  hash = Math.imul(hash, 0x85ebca6b);
  hash ^= hash >>> 13;
  return (hash >>> 0) % shards;
}

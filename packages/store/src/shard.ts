import type { ConnectionKey, RoomId, UserId } from '@halley/protocol/ids';

/** A stream's name; it decides the shard, and so the bus partition. */
export const streamOf = {
  user: (mid: UserId): string => `u/${mid}`,
  key: (key: ConnectionKey): string => `k/${key}`,
  room: (room: RoomId): string => `r/${room}`,
  everyone: 'all',
};

/** A shard, which is a partition of the bus, among how many. */
export interface Shard {
  readonly partition: number;
  readonly shards: number;
}

/** Whether a stream is of a shard. */
export function isIn(stream: string, { partition, shards }: Shard): boolean {
  return shardOf(stream, shards) === partition;
}

const BASIS = 0x811c9dc5;
const PRIME = 0x01000193;

/**
 * The shard of a stream among `shards`: FNV-1a 32 over UTF-8, mixed. Fixed for ever: a stream's shard must be the same
 * in every version and every tier.
 */
export function shardOf(stream: string, shards: number): number {
  let hash = BASIS;
  for (let at = 0; at < stream.length; at += 1) {
    const code = stream.charCodeAt(at);
    if (code > 0x7f) {
      hash = hashOfBytes(stream);
      break;
    }
    hash = Math.imul(hash ^ code, PRIME);
  }
  hash ^= hash >>> 16;
  hash = Math.imul(hash, 0x85ebca6b);
  hash ^= hash >>> 13;
  return (hash >>> 0) % shards;
}

/** Of a name that is not ASCII, where a character is more than a byte. */
function hashOfBytes(stream: string): number {
  let hash = BASIS;
  for (const byte of Buffer.from(stream, 'utf8')) hash = Math.imul(hash ^ byte, PRIME);
  return hash;
}

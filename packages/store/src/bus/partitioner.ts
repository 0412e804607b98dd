import type { BusRecord } from './bus.js';

/** Records with the partition that each goes to: the one it names, else that of its key. */
export function withPartitions(
  records: readonly BusRecord[],
  partitions: number,
): (BusRecord & { readonly partition: number })[] {
  return records.map((record) => ({
    ...record,
    partition: record.partition ?? partitionOfKey(record.key, partitions),
  }));
}

/**
 * The partition of a key as Kafka's own producers choose it (murmur2 with Kafka's seed, made positive), so that records
 * written here and by other programs under one key stand in one partition.
 */
export function partitionOfKey(key: string, partitions: number): number {
  return (murmur2(Buffer.from(key, 'utf8')) & 0x7fffffff) % partitions;
}

const SEED = 0x9747b28c;
const MULTIPLIER = 0x5bd1e995;

function murmur2(data: Buffer): number {
  const { length } = data;
  let hash = SEED ^ length;
  const whole = length - (length % 4);
  for (let at = 0; at < whole; at += 4) {
    let word = Math.imul(data.readInt32LE(at), MULTIPLIER);
    word ^= word >>> 24;
    hash = Math.imul(hash, MULTIPLIER) ^ Math.imul(word, MULTIPLIER);
  }
  const rest = length - whole;
  if (rest > 2) hash ^= data.readUInt8(whole + 2) << 16;
  if (rest > 1) hash ^= data.readUInt8(whole + 1) << 8;
  if (rest > 0) hash = Math.imul(hash ^ data.readUInt8(whole), MULTIPLIER);
  hash ^= hash >>> 13;
  hash = Math.imul(hash, MULTIPLIER);
  return hash ^ (hash >>> 15);
}

import { HalleyError } from '@halley/protocol/error';

import type { ReadBatch, ReadRecord, TopicPartition } from '../bus.js';
import { decodeRecord } from '../record-codec.js';
import type { RedisBusConnection } from './client.js';
import type { RedisBusKeys } from './keys.js';

const MAX_BATCH_RECORDS = 1_024;
const MAX_BATCH_BYTES = 1_048_576;

export interface RedisPartitionsDeps {
  readonly connection: RedisBusConnection;
  readonly keys: RedisBusKeys;
  epoch(): string;
  onLost(): void;
}

/** What is to be read of the partitions. */
export class RedisPartitions {
  constructor(private readonly deps: RedisPartitionsDeps) {}

  /** Records from an offset on, about a mebibyte at most. Throws what the connection does, and when the data is gone. */
  async read({ partition, topic }: TopicPartition, offset: number): Promise<ReadBatch> {
    const { connection, keys } = this.deps;
    const [state, log] = keys.partition(topic, partition);
    const args = [this.deps.epoch(), offset, MAX_BATCH_RECORDS, MAX_BATCH_BYTES];
    const [end, , ...flat] = (await connection.runForBytes('read', [state, log], args)) as Buffer[];
    if (!end || end.length === 0) {
      this.deps.onLost();
      throw new HalleyError('bus_refused', 'Redis has lost what the bus held.');
    }
    const records: ReadRecord[] = [];
    for (let at = 0; at + 1 < flat.length; at += 2)
      records.push(decodeRecord(Number(flat[at]!.toString()) - 1, flat[at + 1]!));
    return { topic, partition, records, highWatermark: Number(end.toString()) };
  }

  /** The first offset that is kept, that behind the newest record, and how many are kept. */
  async bounds({
    partition,
    topic,
  }: TopicPartition): Promise<{ readonly start: number; readonly end: number; readonly kept: number }> {
    const { connection, keys } = this.deps;
    const [state] = keys.partition(topic, partition);
    const [start, end, kept] = await connection.guard(() =>
      connection.redis.hmget(state, 'start', 'next', 'count'),
    );
    return { start: Number(start ?? 0), end: Number(end ?? 0), kept: Number(kept ?? 0) };
  }
}

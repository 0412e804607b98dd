import { codec, protos } from '@halley/cluster/grpc/protos';
import type { PushMsg__Output } from '@halley/cluster/grpc/gen/goim/logic/PushMsg';
import { matchesRoom } from '@halley/protocol/room-pattern';
import type { ConnectionKey, RoomId, UserId } from '@halley/protocol/ids';
import { Backoff } from '@halley/service/backoff';
import type { Clock } from '@halley/service/clock';
import type { Logger } from '@halley/service/log';
import { type Bus, type BusRecord, type ReadBatch, type ReadRecord, Topic } from '@halley/store/bus/bus';
import { recordSize } from '@halley/store/bus/record-size';
import type { Routes } from '@halley/store/routes/routes';
import { shardOf, streamOf } from '@halley/store/shard';

import type { JobMetrics } from '../metrics.js';
import { type WriteOutcome, writeRecords } from '../write-records.js';
import type { DeadLetters } from './dead-letter.js';
import { BadRecord, recordCodec } from './push-record.js';

/** Names the record of goim's topic that a push was taken from, so that a repeated write is found. */
export const INGRESS_HEADER = 'halley-goim';

/** Who anonymous connections and unknown keys belong to. */
const NOBODY = '0' as UserId;

const pushMsgCodec = codec(protos.goim.logic.PushMsg);

export interface GoimIngressDeps {
  readonly bus: Pick<Bus, 'produce' | 'partitions'>;
  readonly routes: Pick<Routes, 'owners'>;
  readonly deadLetters: Pick<DeadLetters, 'write'>;
  readonly metrics: JobMetrics;
  readonly clock: Clock;
  readonly log: Logger;
  /** Patterns of rooms whose messages are kept. */
  readonly durableRooms: readonly string[];
  /** The bus takes no record above this; a message that would become one is put aside. */
  readonly maxRecordBytes: number;
}

/** A record for halley-push, and the message that it comes from. */
interface Entry {
  readonly read: ReadRecord;
  readonly record: BusRecord;
}

/**
 * Takes in what goim's producers wrote: each message becomes a push of halley-push, in order, under the id
 * `goim:{partition}:{offset}`. A message is left behind only when its push is durable or it was put aside: what is no
 * message, has no target, or is larger as a push than the bus takes.
 */
export class GoimIngress {
  constructor(private readonly deps: GoimIngressDeps) {}

  /** Resolves with true when the whole batch is in halley-push (or halley-dead); false when the signal aborted first. */
  async take(batch: ReadBatch, signal: AbortSignal): Promise<boolean> {
    this.deps.metrics.records.inc({ topic: batch.topic }, batch.records.length);
    const messages: { readonly read: ReadRecord; readonly message: PushMsg__Output }[] = [];
    for (const read of batch.records) {
      const message = decodeMessage(read.value);
      if (!(message instanceof BadRecord)) messages.push({ read, message });
      else if (!(await this.deps.deadLetters.write(batch, read, message, signal))) return false;
    }
    const owners = await this.#owners(
      messages.flatMap(({ message }) => (message.type === 'PUSH' ? message.keys : [])) as ConnectionKey[],
      signal,
    );
    if (!owners) return false;
    const entries: Entry[] = [];
    for (const { read, message } of messages) {
      const records = this.#records(batch, read, message, owners);
      if (records.some((record) => recordSize(record) > this.deps.maxRecordBytes)) {
        if (!(await this.#putAside(batch, read, signal))) return false;
      } else entries.push(...records.map((record) => ({ read, record })));
    }
    return this.#produce(batch, entries, signal);
  }

  /** One record for each partition that the message's targets are in. */
  #records(
    { partition }: ReadBatch,
    read: ReadRecord,
    message: PushMsg__Output,
    owners: ReadonlyMap<ConnectionKey, UserId>,
  ): BusRecord[] {
    const { bus, clock } = this.deps;
    const push = {
      id: `goim:${partition}:${read.offset}`,
      operation: message.operation,
      body: message.msg,
      accepted_at_ms: read.timestampMs > 0 ? read.timestampMs : clock.now(),
      caller: 'goim',
    };
    const record = (stream: string, shard: number, fields: object): BusRecord => ({
      partition: shard,
      key: stream,
      value: recordCodec.encode({ pushes: [{ ...push, ...fields }] }),
      headers: { [INGRESS_HEADER]: `${partition}:${read.offset}:${read.timestampMs}` },
    });
    const shards = bus.partitions(Topic.Push);
    if (message.type === 'ROOM') {
      const stream = streamOf.room(message.room as RoomId);
      const durable = this.deps.durableRooms.some((pattern) => matchesRoom(message.room, pattern));
      const fields = { class: durable ? 'CLASS_DURABLE' : 'CLASS_EPHEMERAL', rooms: [message.room] };
      return [record(stream, shardOf(stream, shards), fields)];
    }
    if (message.type === 'BROADCAST') {
      const speed = Math.max(0, message.speed);
      const stream = streamOf.everyone;
      return [record(stream, shardOf(stream, shards), { class: 'CLASS_EPHEMERAL', everyone: true, speed })];
    }
    const byShard = new Map<
      number,
      { readonly stream: string; readonly keys: ConnectionKey[]; readonly key_owners: UserId[] }
    >();
    for (const key of message.keys as ConnectionKey[]) {
      const owner = owners.get(key) ?? NOBODY;
      // Anonymous connections share the mid 0, and so no stream.
      const stream = owner === NOBODY ? streamOf.key(key) : streamOf.user(owner);
      const shard = shardOf(stream, shards);
      const group = byShard.get(shard) ?? { stream, keys: [], key_owners: [] };
      byShard.set(shard, group);
      group.keys.push(key);
      group.key_owners.push(owner);
    }
    return [...byShard].map(([shard, { stream, ...keys }]) =>
      record(stream, shard, { class: 'CLASS_DURABLE', ...keys }),
    );
  }

  /** Whose stream a key's push belongs to decides its order, so that is waited for; undefined when aborted. */
  async #owners(
    keys: readonly ConnectionKey[],
    signal: AbortSignal,
  ): Promise<ReadonlyMap<ConnectionKey, UserId> | undefined> {
    if (keys.length === 0) return new Map();
    const backoff = new Backoff({ baseMs: 100, maxMs: 1_000 });
    while (!signal.aborted) {
      try {
        return await this.deps.routes.owners([...new Set(keys)]);
      } catch (error) {
        this.deps.metrics.routeFailures.inc();
        this.deps.log.warn({ err: error }, 'owners of keys cannot be read, waiting');
        await backoff.wait(signal);
      }
    }
    return undefined;
  }

  /**
   * Writes all, in order. When the bus says of some that they are too large, each goes alone, so that only a message
   * that is too large by itself is put aside.
   */
  async #produce(batch: ReadBatch, entries: readonly Entry[], signal: AbortSignal): Promise<boolean> {
    const aside = new Set<ReadRecord>();
    for (const chunk of chunksOf(entries, this.deps.maxRecordBytes)) {
      const records = chunk.map(({ record }) => record);
      const outcome = await this.#write(records, signal);
      if (outcome === 'aborted') return false;
      if (outcome === 'written') continue;
      for (const { read, record } of chunk) {
        if (aside.has(read)) continue;
        const alone = await this.#write([record], signal);
        if (alone === 'aborted') return false;
        if (alone === 'written') continue;
        if (!(await this.#putAside(batch, read, signal))) return false;
        aside.add(read);
      }
    }
    return true;
  }

  /** Repeats under the same ids what failed: a write that was only not answered is found by its header. */
  async #write(records: readonly BusRecord[], signal: AbortSignal): Promise<WriteOutcome> {
    if (signal.aborted) return 'aborted';
    const { bus, metrics, log } = this.deps;
    return writeRecords(bus, Topic.Push, records, {
      signal,
      maxBackoffMs: 2_000,
      onFailure: (err, code) => {
        metrics.produceFailures.inc({ topic: Topic.Push, code });
        log.warn({ err, records: records.length }, "goim's pushes not written, repeating");
      },
    });
  }

  #putAside(batch: ReadBatch, read: ReadRecord, signal: AbortSignal): Promise<boolean> {
    return this.deps.deadLetters.write(batch, read, new BadRecord('too_large'), signal);
  }
}

/** In runs of about `maxBytes`: a body that goes to many partitions at once must not overflow the queue to the bus. */
function* chunksOf(entries: readonly Entry[], maxBytes: number): Generator<readonly Entry[]> {
  let chunk: Entry[] = [];
  let bytes = 0;
  for (const entry of entries) {
    const more = recordSize(entry.record);
    if (chunk.length > 0 && bytes + more > maxBytes) {
      yield chunk;
      chunk = [];
      bytes = 0;
    }
    chunk.push(entry);
    bytes += more;
  }
  if (chunk.length > 0) yield chunk;
}

function decodeMessage(value: Uint8Array): PushMsg__Output | BadRecord {
  let message: PushMsg__Output;
  try {
    message = pushMsgCodec.decode(value);
  } catch (error) {
    return BadRecord.undecodable(error);
  }
  switch (message.type) {
    case 'PUSH':
      return message.keys.length > 0 ? message : new BadRecord('no_target');
    case 'ROOM':
      return message.room === '' ? new BadRecord('no_target') : message;
    case 'BROADCAST':
      return message;
    default:
      return new BadRecord('unknown_type');
  }
}

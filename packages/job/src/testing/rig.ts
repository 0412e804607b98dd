import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import type { Sender } from '@halley/cluster/grpc/gen/halley/delivery/v1/Sender';
import { EmbeddedHub, EmbeddedRegistry } from '@halley/cluster/registry/embedded';
import type { ConnectionKey, RoomId, UserId } from '@halley/protocol/ids';
import { systemClock } from '@halley/service/clock';
import { silentLogger } from '@halley/service/log';
import { Metrics } from '@halley/service/metrics';
import { EmbeddedArchive } from '@halley/store/archive/embedded';
import { type BusRecord, Topic } from '@halley/store/bus/bus';
import { EmbeddedBus } from '@halley/store/bus/embedded';
import { EmbeddedRoutes } from '@halley/store/routes/embedded';
import { shardOf, streamOf } from '@halley/store/shard';
import { EmbeddedStreams } from '@halley/store/streams/embedded';

import { recordCodec } from '../consume/push-record.js';
import { FakeComet, type ReadStream } from './fake-comet.js';
import { Job, type JobOptions } from './job.js';

export { BULK_GROUP, GROUP, INGRESS_GROUP } from './job.js';
export { TestClock } from './test-clock.js';

/** Resolves when the condition holds; throws after the timeout. */
export async function until(condition: () => boolean | Promise<boolean>, timeoutMs = 5_000): Promise<void> {
  const end = performance.now() + timeoutMs;
  while (!(await condition())) {
    if (performance.now() > end) throw new Error(`not so within ${timeoutMs} ms: ${condition.toString()}`);
    await sleep(5);
  }
}

export const PARTITIONS = 4;

/** Fields of a push for a test. */
export interface PushFields {
  readonly id?: string;
  readonly users?: readonly string[];
  readonly keys?: readonly string[];
  /** Whose the keys are; nobody's by default. */
  readonly key_owners?: readonly string[];
  readonly caller?: string;
  readonly rooms?: readonly string[];
  readonly everyone?: boolean;
  readonly expire_at_ms?: number;
  readonly accepted_at_ms?: number;
  readonly sender?: Sender;
  readonly control?: boolean;
  readonly class?: 'CLASS_DURABLE' | 'CLASS_EPHEMERAL';
}

/** What a cluster has beside jobs: an embedded bus, routes, a registry, and comets that a test scripts. */
export class Rig {
  readonly metrics = new Metrics({ process: false });
  readonly hub = new EmbeddedHub();
  readonly routes = new EmbeddedRoutes({ leaseMs: 3_600_000 });
  readonly comets: FakeComet[] = [];
  readonly jobs: Job[] = [];
  readonly streams: EmbeddedStreams;
  readonly archive: EmbeddedArchive;
  readonly #registry = new EmbeddedRegistry({ log: silentLogger(), hub: this.hub });
  /** How often each text was pushed. */
  readonly #pushed = new Map<string, number>();
  #counter = 0;

  private constructor(
    readonly dataDir: string,
    readonly bus: EmbeddedBus,
  ) {
    this.streams = new EmbeddedStreams({ dataDir, shards: PARTITIONS, log: silentLogger() });
    this.archive = new EmbeddedArchive({ dataDir });
  }

  static async open(): Promise<Rig> {
    const dataDir = await mkdtemp(join(tmpdir(), 'halley-job-'));
    const bus = new EmbeddedBus({ dataDir, partitions: PARTITIONS, log: silentLogger(), clock: systemClock });
    await bus.start();
    const rig = new Rig(dataDir, bus);
    await rig.streams.start();
    await rig.archive.start();
    await rig.#registry.start();
    return rig;
  }

  async close(): Promise<void> {
    for (const job of this.jobs) await job.stop(500);
    for (const comet of this.comets) comet.stop();
    await this.archive.stop();
    await this.streams.stop();
    await this.bus.stop(1_000);
    await rm(this.dataDir, { recursive: true });
  }

  /** A comet that is started and registered. */
  async comet(id: string): Promise<FakeComet> {
    const comet = await new FakeComet(id, this.readStream).start();
    this.comets.push(comet);
    this.register(comet);
    return comet;
  }

  register(comet: FakeComet): void {
    this.hub.put(comet.record, this.#registry);
  }

  deregister(comet: FakeComet): void {
    this.hub.remove(comet.record);
  }

  /** A job that is started, on a clock of its own when given. */
  async job(options: Partial<JobOptions> = {}): Promise<Job> {
    const job = new Job(this, options);
    this.jobs.push(job);
    await job.start();
    return job;
  }

  async connect(mid: string, key: string, comet: FakeComet): Promise<void> {
    this.#counter += 1;
    await this.routes.claim({
      mid: mid as UserId,
      key: key as ConnectionKey,
      at: comet.ref,
      counter: this.#counter,
    });
    if (mid !== '0') comet.connect(streamOf.user(mid as UserId), key);
  }

  /** As logic reads a stream for comets: what is hot, and then what is archived. */
  readonly readStream: ReadStream = async (stream, after) => {
    const limits = { stream, after, maxEntries: 1_000, maxBytes: 8 * 1_048_576 };
    const [held] = await this.streams.read(this.bus.epoch, [limits]);
    if (!held) return { through: after, entries: [] };
    const archived =
      after < held.trimmed
        ? await this.archive.read(this.bus.epoch, { ...limits, through: held.trimmed })
        : { entries: [], more: false };
    const entries = archived.more ? archived.entries : [...archived.entries, ...held.entries];
    const more = archived.more || held.more;
    return { through: more ? entries.at(-1)!.position : held.applied, entries };
  };

  /** All that a user's stream ever got, oldest first. */
  async streamOf(mid: string): Promise<string[]> {
    return this.textsOf(streamOf.user(mid as UserId));
  }

  /** All that a stream ever got, oldest first. */
  async textsOf(stream: string): Promise<string[]> {
    const { entries } = await this.readStream(stream, -1);
    return entries.map(({ body }) => Buffer.from(body).toString());
  }

  /** How the shard of a user stands. */
  shardOf(mid: string): number {
    return shardOf(streamOf.user(mid as UserId), PARTITIONS);
  }

  async enterRoom(room: string, comet: FakeComet): Promise<void> {
    await this.routes.enterRoom(room as RoomId, comet.ref);
  }

  /** As enterRoom, for a durable room of which `key` is a member there. */
  async joinRoom(room: string, key: string, comet: FakeComet): Promise<void> {
    await this.enterRoom(room, comet);
    comet.connect(streamOf.room(room as RoomId), key);
  }

  /** Writes one push as logic does, in the partition of its first target. */
  async push(body: string, fields: PushFields): Promise<void> {
    await this.bus.produce(Topic.Push, [this.record(body, fields)]);
  }

  /** Writes bulk pushes as logic does, so many in a record. */
  async pushBulk(bodies: readonly string[], fields: PushFields, packed = 1): Promise<void> {
    const records: BusRecord[] = [];
    for (let at = 0; at < bodies.length; at += packed) {
      const group = bodies.slice(at, at + packed).map((body) => this.record(body, fields));
      const pushes = group.flatMap(({ value }) => recordCodec.decode(value).pushes);
      records.push({ ...group[0]!, value: recordCodec.encode({ pushes }) });
    }
    await this.bus.produce(Topic.Bulk, records);
  }

  record(body: string, fields: PushFields): BusRecord {
    const { users = [], keys = [], key_owners = [], rooms = [] } = fields;
    const user = users[0] ?? key_owners.find((owner) => owner !== '0');
    const stream = user
      ? streamOf.user(user as UserId)
      : keys[0]
        ? streamOf.key(keys[0] as ConnectionKey)
        : rooms[0]
          ? streamOf.room(rooms[0] as RoomId)
          : streamOf.everyone;
    const push = {
      id: this.#idOf(body),
      operation: 1_000,
      body: Buffer.from(body),
      accepted_at_ms: Date.now(),
    };
    return {
      partition: shardOf(stream, PARTITIONS),
      key: stream,
      value: recordCodec.encode({
        pushes: [
          {
            ...push,
            ...fields,
            users: [...users],
            keys: [...keys],
            key_owners: [...key_owners],
            rooms: [...rooms],
          },
        ],
      }),
    };
  }

  /** The text itself, where it was not pushed before. */
  #idOf(body: string): string {
    const before = this.#pushed.get(body) ?? 0;
    this.#pushed.set(body, before + 1);
    return before === 0 ? body : `${body} (${before + 1})`;
  }

  /** All records of a topic so far, by a group of their own. */
  async read(topic: string): Promise<{ value: Uint8Array; headers: Readonly<Record<string, string>> }[]> {
    const records: { value: Uint8Array; headers: Readonly<Record<string, string>> }[] = [];
    const group = `reader-${Math.random()}`;
    const consumer = await this.bus.consume({
      group,
      topics: [topic],
      onBatch: async (batch) => void records.push(...batch.records),
    });
    const expected = await this.bus.lag(group, topic);
    await until(() => records.length >= expected);
    await consumer.stop(100);
    return records;
  }

  /** The sum of a counter over the labels given. */
  async count(name: string, labels: Readonly<Record<string, string>> = {}): Promise<number> {
    const metric = await this.metrics.registry.getSingleMetric(name)?.get();
    return (metric?.values ?? [])
      .filter((value) => Object.entries(labels).every(([label, wanted]) => value.labels[label] === wanted))
      .reduce((sum, { value }) => sum + value, 0);
  }

  /** What became of deliveries, by result. */
  async results(result: string): Promise<number> {
    return this.count('halley_job_deliveries_total', { result });
  }
}

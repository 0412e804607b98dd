import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { jobConfig } from '@halley/job/config';
import { Lane } from '@halley/job/consume/lanes';
import { CometLinks } from '@halley/job/deliver/comet-links';
import { JobMetrics } from '@halley/job/metrics';
import { Wakeup } from '@halley/job/wakeup';
import { packWithin } from '@halley/logic/push/record';
import type { PushMessage } from '@halley/logic/push/target';
import type { ConnectionKey, RoomId, UserId } from '@halley/protocol/ids';
import { systemClock } from '@halley/service/clock';
import { loadConfig } from '@halley/service/config';
import { NO_EXCEPTIONS } from '@halley/service/exceptions';
import { silentLogger } from '@halley/service/log';
import { Metrics } from '@halley/service/metrics';
import { type ReadRecord, Topic } from '@halley/store/bus/bus';
import { EmbeddedRoutes } from '@halley/store/routes/embedded';
import { EmbeddedStreams } from '@halley/store/streams/embedded';

import { CountedComet } from './counted-comet.js';
import { countedRoutes, countedStreams, StoreCalls } from './counted-stores.js';
import type { Sent } from './sent.js';

const EPOCH = 'cost';
const NEVER_MS = 86_400_000;

/**
 * What of a cluster decides where pushes go, in one process: logic's packing into records, and a job's lanes, router and links,
 * on the embedded stores, with comets that count. There is no bus: records are taken in as a job polls them.
 */
export class RoutedCluster {
  readonly comets: readonly CountedComet[];
  readonly #routes = new EmbeddedRoutes({ leaseMs: NEVER_MS });
  readonly #calls = new StoreCalls();
  readonly #lanes: readonly Lane[];
  /** The next offset of each partition. */
  readonly #offsets: number[];
  #sessions = 0;

  private constructor(
    private readonly dataDir: string,
    private readonly streams: EmbeddedStreams,
    private readonly links: CometLinks,
    comets: readonly CountedComet[],
    private readonly partitions: number,
    lane: (partition: number, cluster: LaneStores) => Lane,
  ) {
    this.comets = comets;
    this.#offsets = Array.from({ length: partitions }, () => 0);
    const stores = {
      routes: countedRoutes(this.#routes, this.#calls, partitions),
      streams: countedStreams(streams, this.#calls),
    };
    this.#lanes = Array.from({ length: partitions }, (_, partition) => lane(partition, stores));
  }

  /** So many comets, and the partitions and limits that a job has by default. Whoever opens it closes it. */
  static async open(cometCount: number): Promise<RoutedCluster> {
    const config = loadConfig(jobConfig, {});
    const log = silentLogger();
    const { partitions } = config.bus;
    const comets = Array.from({ length: cometCount }, (_, index) => new CountedComet(index + 1));
    const byAddress = new Map(comets.map((comet) => [String(comet.id), comet]));
    const dataDir = await mkdtemp(join(tmpdir(), 'halley-cost-'));
    const streams = new EmbeddedStreams({ dataDir, shards: partitions, log });
    await streams.start();
    await Promise.all(Array.from({ length: partitions }, (_, shard) => streams.restore(shard, EPOCH, -1)));
    const changed = new Wakeup();
    const metrics = new JobMetrics(new Metrics({ process: false }), () => Date.now());
    const links = new CometLinks({
      view: { nodes: () => comets.map(({ record }) => record), onChange: () => () => undefined },
      hello: { job: 'job', job_incarnation: 'first', epoch: EPOCH },
      limits: { ...config.link, vanishedHoldMs: NEVER_MS },
      unknownCometGraceMs: 0,
      connect: (address) => byAddress.get(address)!.client(),
      clock: systemClock,
      log,
      changed,
      onBreak: () => undefined,
    });
    await links.start();
    const shared = { epoch: EPOCH, clock: systemClock, metrics, log, links, changed, shards: partitions };
    const place = { seek: () => undefined, onAppended: () => undefined, archived: () => undefined };
    const { maxUndoneRecords: maxRecords, maxUndoneBytes: maxBytes } = config.consume;
    return new RoutedCluster(dataDir, streams, links, comets, partitions, (partition, stores) => {
      return new Lane(Topic.Push, partition, place, {
        ...shared,
        ...stores,
        archive: { watermark: async () => -1 },
        maxHintBodyBytes: config.link.maxHintBodyBytes,
        exceptions: NO_EXCEPTIONS,
        deadLetters: { write: async () => true },
        limits: { maxRecords, maxBytes, maxStallMs: config.link.maxStallMs },
      });
    });
  }

  async close(): Promise<void> {
    for (const lane of this.#lanes) lane.end();
    await this.links.stop();
    await this.streams.stop();
    await rm(this.dataDir, { recursive: true });
  }

  /** A device of a user connects to a comet, by its number from 0. */
  async connect(mid: string, key: string, comet: number): Promise<void> {
    this.#sessions += 1;
    await this.#routes.claim({
      mid: mid as UserId,
      key: key as ConnectionKey,
      at: this.#comet(comet).ref,
      counter: this.#sessions,
    });
  }

  /** A comet, by its number from 0, gets its first member in a room. */
  async enterRoom(room: string, comet: number): Promise<void> {
    await this.#routes.enterRoom(room as RoomId, this.#comet(comet).ref);
  }

  /** Accepts pushes in one call, takes them to their comets, and answers what that took. */
  async push(messages: readonly PushMessage[]): Promise<Sent> {
    for (const comet of this.comets) comet.forget();
    this.#calls.count = 0;
    const { records } = packWithin(
      messages,
      {
        partitions: this.partitions,
        owners: new Map(),
        acceptedAtMs: Date.now(),
        traceparent: '',
        caller: 'shop',
      },
      4 * 1_048_576,
    );
    const polled = new Map<number, ReadRecord[]>();
    for (const { record } of records) {
      const { partition } = record;
      polled.set(partition, [...(polled.get(partition) ?? []), this.#read(partition, record)]);
    }
    await Promise.all(
      [...polled].map(async ([partition, read]) => {
        const lane = this.#lanes[partition]!;
        await lane.take({
          topic: Topic.Push,
          partition,
          records: read,
          highWatermark: read.at(-1)!.offset + 1,
        });
        await lane.drained();
      }),
    );
    const reached = this.comets.filter((comet) => comet.messages > 0);
    return {
      comets: reached.length,
      messages: reached.reduce((sum, comet) => sum + comet.messages, 0),
      bytes: reached.reduce((sum, comet) => sum + comet.bytes, 0),
      storeCalls: this.#calls.count,
    };
  }

  #read(partition: number, { key, value }: { key: string; value: Uint8Array }): ReadRecord {
    const offset = this.#offsets[partition]!;
    this.#offsets[partition] = offset + 1;
    return { offset, key, value, headers: {}, timestampMs: Date.now() };
  }

  #comet(number: number): CountedComet {
    const comet = this.comets[number % this.comets.length];
    if (!comet) throw new RangeError('there are no comets');
    return comet;
  }
}

interface LaneStores {
  readonly routes: ReturnType<typeof countedRoutes>;
  readonly streams: ReturnType<typeof countedStreams>;
}

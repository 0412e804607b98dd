import { randomBytes } from 'node:crypto';

import { HalleyError } from '@halley/protocol/error';

import type { Identity } from '../load/identity.js';
import type { ConnectOutcome, LoadPlan, LoadSide } from '../load/load-side.js';
import type { Sender as StampSender } from '../load/stamp.js';
import { summaryOf } from '../measure/latency.js';
import { type Reading, TierMeter } from '../measure/tier-meter.js';
import type { Beat } from '../pace/beat.js';
import type { BenchOptions } from './options.js';
import type { OnProgress } from './progress.js';
import { notConnected } from './unreached.js';
import type { ConnectResult, LoadResult, TierResult } from './result.js';

export interface BenchDeps {
  readonly startLoad: (plan: LoadPlan) => Promise<LoadSide>;
  readonly beat: Beat;
  readonly onProgress: OnProgress;
  /** Ends the run early; what was measured until then is told. */
  readonly signal: AbortSignal;
}

/** What the connections of a run are spread over, and what divides what a tier took. */
export interface Shares {
  readonly delivered?: number;
  readonly pushes?: number;
  readonly connections?: number;
}

/** Accounts of everything that measures itself, at one moment. */
export interface Accounts {
  readonly tiers: Reading;
  /** Of this process, in ms. */
  readonly pusherMs: number;
}

/** One run of `halley bench`: who its connections are, its load sides, and its accounts. */
export class Bench {
  /** In each message: those of another run are not counted. */
  readonly run = randomBytes(8).readBigUInt64BE();
  /** The last sequence of each stream of messages. */
  readonly sequences = new Map<StampSender, number>();
  readonly meter: TierMeter;
  readonly identity: Identity;
  readonly #loads: LoadSide[] = [];

  constructor(
    readonly options: BenchOptions,
    readonly deps: BenchDeps,
  ) {
    this.meter = new TierMeter(options.target.processes);
    const name = this.run.toString(36);
    this.identity = {
      // Users of this run alone: nothing waits for them from before.
      firstMid: 1e12 + Number(this.run % 1_000_000_000n) * 1_000_000,
      rooms: options.rooms,
      roomType: options.roomType ?? `bench-${name}`,
      accepts: [options.operation],
      keyPrefix: `bench-${name}-`,
    };
  }

  /** Where clients connect, by the transport that is asked for. Throws `invalid_argument` when there is none. */
  addresses(): string[] {
    const { target, transport } = this.options;
    const found = [
      ...(transport === 'ws' ? [] : target.tcp),
      ...(transport === 'tcp' ? [] : target.websocket),
    ];
    if (found.length === 0)
      throw new HalleyError('invalid_argument', `${target.name} has no comet for --transport ${transport}`);
    return found;
  }

  /** A load side of so many connections; `first` is the first user's place among those of the run. Stopped by {@link stop}. */
  async load(connections: number, first = 0, more: Partial<LoadPlan> = {}): Promise<LoadSide> {
    const { version, connectPerSecond, atOnce, heartbeatMs, processes, native, sources } = this.options;
    const { firstMid, keyPrefix } = this.identity;
    const side = await this.deps.startLoad({
      addresses: this.addresses(),
      version,
      connections,
      identity: {
        ...this.identity,
        firstMid: firstMid + first,
        keyPrefix: first === 0 ? keyPrefix : `${keyPrefix}${first}-`,
      },
      perSecond: connectPerSecond,
      atOnce,
      heartbeatMs,
      run: this.run,
      processes,
      ...(native === undefined ? {} : { native }),
      ...(sources === undefined ? {} : { sources }),
      ...more,
    });
    this.#loads.push(side);
    return side;
  }

  /** Connects what is not open. Throws `unavailable` when the run is broken off meanwhile. */
  async connect(side: LoadSide): Promise<ConnectResult> {
    const { signal } = this.deps;
    const made = side.connect();
    let breakOff = (): void => undefined;
    const ended = new Promise<never>((_resolve, reject) => {
      breakOff = () => reject(new HalleyError('unavailable', 'ended before all connections were made'));
    });
    if (signal.aborted) breakOff();
    signal.addEventListener('abort', breakOff);
    try {
      return connectResult(await Promise.race([made, ended]));
    } finally {
      signal.removeEventListener('abort', breakOff);
      // It ends with the load side, when nobody waits for it any more.
      made.catch(() => undefined);
    }
  }

  /** Connects all of it. Throws as {@link connect}, and `unavailable` when some connections were not made: their messages would count as lost. */
  async connectAll(side: LoadSide): Promise<ConnectResult> {
    const result = await this.connect(side);
    if (Object.keys(result.failed).length > 0) throw notConnected(result, this.addresses());
    return result;
  }

  async accounts(): Promise<Accounts> {
    const { user, system } = process.cpuUsage();
    return { tiers: await this.meter.reading(), pusherMs: (user + system) / 1_000 };
  }

  /** What the tiers took between two accounts, divided by what was done meanwhile. */
  tiers(from: Accounts, to: Accounts, shares: Shares): TierResult[] {
    const elapsedMs = to.tiers.atMs - from.tiers.atMs;
    const memoryBefore = new Map(
      this.meter.between(from.tiers, from.tiers).map((use) => [use.tier, use.rssBytes]),
    );
    return this.meter.between(from.tiers, to.tiers).map(({ tier, processes, cpuMs, rssBytes }) => {
      const micros = (count: number | undefined): number | undefined =>
        count ? (cpuMs * 1_000) / count : undefined;
      const [microsPerDelivered, microsPerPush, microsPerConnection] = [
        micros(shares.delivered),
        micros(shares.pushes),
        micros(shares.connections),
      ];
      return {
        tier,
        processes,
        cpuPercent: (100 * cpuMs) / elapsedMs,
        rssBytes,
        ...(microsPerDelivered === undefined ? {} : { microsPerDelivered }),
        ...(microsPerPush === undefined ? {} : { microsPerPush }),
        ...(microsPerConnection === undefined ? {} : { microsPerConnection }),
        ...(shares.connections
          ? { bytesPerConnection: (rssBytes - (memoryBefore.get(tier) ?? 0)) / shares.connections }
          : {}),
      };
    });
  }

  loadResult(kind: LoadSide['kind'], from: Accounts, to: Accounts, readersMs: number): LoadResult {
    const elapsedMs = to.tiers.atMs - from.tiers.atMs;
    return {
      kind,
      readersPercent: (100 * readersMs) / elapsedMs,
      pusherPercent: (100 * (to.pusherMs - from.pusherMs)) / elapsedMs,
    };
  }

  say(text: string): void {
    this.deps.onProgress({ kind: 'phase', text });
  }

  /** Ends all connections. */
  async stop(): Promise<void> {
    await Promise.all(this.#loads.splice(0).map((side) => side.stop()));
  }
}

/** As it is told and written. */
function connectResult({ connected, failed, retried, elapsedMs, latency }: ConnectOutcome): ConnectResult {
  return {
    connected,
    failed: Object.fromEntries(failed),
    retried: Object.fromEntries(retried),
    elapsedMs,
    perSecond: elapsedMs > 0 ? (connected * 1_000) / elapsedMs : 0,
    latency: summaryOf(latency),
  };
}

import { HalleyError } from '@halley/protocol/error';
import type { Histogram } from 'hdr-histogram-js';

import type { Identity } from './identity.js';
import type { SampleCounts } from './lines.js';
import { buildNative } from './native-build.js';
import { outcomeOf, sampleOf } from './outcome.js';
import { WorkerLink, type WorkerStreams } from './worker-link.js';
import { workerPlans } from './worker-plan.js';
import { startWorkerProcess } from './worker-process.js';

/** What connects, and how. */
export interface LoadPlan {
  /** `tcp://host:port` or `ws://host:port/sub`; connections are spread over them in turn. */
  readonly addresses: readonly string[];
  /** Of the protocol: 1 is goim's. */
  readonly version: 1 | 2;
  readonly connections: number;
  readonly identity: Identity;
  /** Connections begun a second; 0 is as fast as it goes. */
  readonly perSecond: number;
  /** Handshakes under way at most, over all processes. */
  readonly atOnce: number;
  /** Each connection sends operation 2 so often, in milliseconds; 0 is never. */
  readonly heartbeatMs: number;
  /** Messages of another run are not counted. */
  readonly run: bigint;
  /**
   * Local addresses to bind in turn, as 127.0.0.2: each has some 28,000 ports to one port of a server. Default: whatever the
   * system takes.
   */
  readonly sources?: readonly string[];
  /** Worker processes, 1 to 64; default 1. Each takes as many connections as it has descriptors. */
  readonly processes?: number;
  /** The workers are the C program (true) or Node (false). Default: C, unless HALLEY_NATIVE is `off` or it can't be built. */
  readonly native?: boolean;
}

/** What became of one call of {@link LoadSide.connect}. */
export interface ConnectOutcome {
  /** Authenticated, in this call. */
  readonly connected: number;
  /** Given up, by the last reason. */
  readonly failed: ReadonlyMap<string, number>;
  /** Attempts that failed and were made again, by reason. */
  readonly retried: ReadonlyMap<string, number>;
  /** From the first connection's begin to the last one's end. */
  readonly elapsedMs: number;
  /** From a connection's first attempt to its auth reply, in nanoseconds. */
  readonly latency: Histogram;
}

/** What came in a while. */
export interface LoadSample extends SampleCounts {
  /** From the intended time to being read, in nanoseconds. */
  readonly latency: Histogram;
  /** Connections that the other side ended, by reason: as `3003 HandshakeTimeout`, `reset`, `eof`. */
  readonly closed: ReadonlyMap<string, number>;
  /** When the last message was read, as `process.hrtime.bigint()`; 0 before the first. */
  readonly lastAtNs: bigint;
}

/** The receiving side of a load. */
export interface LoadSide {
  /** What the workers are. */
  readonly kind: 'native' | 'node';
  /** Connects whatever is not open; resolves when each is open or given up. One call at a time. */
  connect(): Promise<ConnectOutcome>;
  /** What came since the last sample; also while connections are being made. */
  sample(): Promise<LoadSample>;
  /** Ends all connections at once, with resets; connect() makes them again, their sequences begin anew. */
  drop(): Promise<void>;
  /** Ends connections and workers. Every other call fails from then on. */
  stop(): Promise<void>;
}

/** What {@link startLoadSide} may be given for tests, and to be heard. */
export interface LoadSideOptions {
  /** Gets a line for people: what was built, and why there is no native worker. Default: nobody does. */
  readonly say?: (line: string) => void;
  /** Starts a worker; default a process, of `program` where it is given, else of Node. */
  readonly startWorker?: (program: string | undefined) => WorkerStreams;
}

/**
 * Starts the workers; nothing is connected yet. Throws HalleyError `invalid_argument` that names the field, also for more
 * connections than the processes have descriptors, and `unavailable` where `native` is asked for and can't be built.
 */
export async function startLoadSide(plan: LoadPlan, options: LoadSideOptions = {}): Promise<LoadSide> {
  const { say = () => {}, startWorker = startWorkerProcess } = options;
  const plans = await workerPlans(plan);
  const program = await nativeProgram(plan.native, say);
  const workers = plans.map((one) => ({ plan: one, link: new WorkerLink(startWorker(program)) }));
  const all = <Answer>(ask: (link: WorkerLink) => Promise<Answer>): Promise<Answer[]> =>
    Promise.all(workers.map(({ link }) => ask(link)));
  const stop = async (): Promise<void> => void (await all((link) => link.stop()));
  try {
    await Promise.all(workers.map((worker) => worker.link.plan(worker.plan)));
  } catch (error) {
    await stop();
    throw error;
  }
  let connecting = false;
  return {
    kind: program === undefined ? 'node' : 'native',
    connect: async () => {
      if (connecting) throw new HalleyError('invalid_argument', 'the load side is connecting already');
      connecting = true;
      try {
        return outcomeOf(await all((link) => link.connect()));
      } finally {
        connecting = false;
      }
    },
    sample: async () => sampleOf(await all((link) => link.sample())),
    drop: async () => void (await all((link) => link.drop())),
    stop,
  };
}

/** The native worker where it is wanted and there is one. */
async function nativeProgram(
  wanted: boolean | undefined,
  say: (line: string) => void,
): Promise<string | undefined> {
  if (wanted === false || (wanted === undefined && process.env['HALLEY_NATIVE'] === 'off')) return undefined;
  const built = await buildNative(say);
  if ('program' in built) return built.program;
  if (wanted) throw new HalleyError('unavailable', `the native load side can't be built: ${built.why}`);
  say(`load side: Node, since the native client can't be built: ${built.why}`);
  return undefined;
}

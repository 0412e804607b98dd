import type { LoadSide } from '../load/load-side.js';
import { type LatencySummary, summaryOf } from '../measure/latency.js';
import type { Lab } from './lab.js';
import { LimitServer } from './limit-server.js';

/** What C took for its passes. */
export interface KernelRun {
  /** CPU of a send. */
  readonly sendMicros: number;
  /** How long a pass over all connections lasts. */
  readonly passMs: number;
  readonly sendsPerSecond: number;
  /** From when a pass was due to when a connection had its frame. */
  readonly latency: LatencySummary;
}

/** Passes that last so many times their processor time: others had the core. */
const BUSY = 1.5;
const BODY_BYTES = 100;
const OPERATION = 1_000;

/** Connections to the C send loop, on the server's core and read by the same readers. */
export class Kernel {
  private constructor(
    private readonly server: LimitServer,
    private readonly side: LoadSide,
    private readonly runId: bigint,
    private readonly lab: Lab,
  ) {}

  /** Connects so many. Throws `unavailable` without a C compiler. */
  static async start(lab: Lab, connections: number): Promise<Kernel> {
    const server = await LimitServer.start();
    await lab.pinAsServer(server.pid);
    const runId = BigInt(process.pid);
    const side = await lab.deps.startLoad({
      addresses: [`tcp://127.0.0.1:${server.port}`],
      version: 1,
      connections,
      identity: { firstMid: 1, rooms: 1, roomType: 'limit', accepts: [OPERATION], keyPrefix: '' },
      perSecond: 0,
      atOnce: 256,
      heartbeatMs: 0,
      run: runId,
    });
    await side.connect();
    return new Kernel(server, side, runId, lab);
  }

  /** One frame to each connection in a pass; 0 passes a second: one upon the other. */
  async run(passesPerSecond: number, durationMs: number): Promise<KernelRun> {
    const plan = { batch: 1, run: this.runId, bodyBytes: BODY_BYTES, operation: OPERATION };
    const done = await this.server.run({ passesPerSecond, durationMs, ...plan });
    const { latency } = await this.side.sample();
    if (done.passNs > BUSY * done.cpuNs)
      this.lab.warnings.add(
        'the machine is busy: C’s passes lasted far longer than the processor time that they took; times mean little, and neither do ratios of them',
      );
    return {
      sendMicros: done.cpuNs / 1_000 / Math.max(1, done.sends),
      passMs: done.passNs / 1e6 / Math.max(1, done.passes),
      sendsPerSecond: (done.sends * 1e9) / Math.max(1, done.passNs),
      latency: summaryOf(latency),
    };
  }

  async close(): Promise<void> {
    await this.side.stop();
    await this.server.stop();
  }
}

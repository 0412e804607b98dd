import type { LoadSide } from '../load/load-side.js';
import { count, micros } from '../report/figures.js';
import type { Bench } from '../scenario/bench.js';
import { roomStreams } from '../scenario/streams.js';
import { runTraffic } from '../scenario/traffic.js';
import { trafficFaults } from '../scenario/verdict.js';
import type { JoinedComet } from './joined-comet.js';
import { cometMicros, type Lab } from './lab.js';
import { Kernel } from './kernel.js';
import { type LimitRow, median, ratios, rowOf, times } from './row.js';

/** Processor time for one delivered message, in µs: a figure of each round. */
export interface FanOut {
  readonly connections: number;
  readonly kernel: readonly number[];
  readonly tcp: readonly number[];
  /** Empty where it was not measured. */
  readonly websocket: readonly number[];
  readonly faults: readonly string[];
}

/** Well below what a core can, so that each message is a write of its own. */
const DELIVERED_PER_SECOND = 100_000;
const LEAST_PASSES_PER_SECOND = 2;

/**
 * The C send loop, comet over TCP and comet over WebSocket in turn, `rounds` times: the same frames, connections, rate and
 * core, one message a write, comet by goim's gRPC.
 */
export async function measureFanOut(lab: Lab, connections: number, withWebSocket: boolean): Promise<FanOut> {
  const { scale, onProgress } = lab.deps;
  const perSecond = passesPerSecond(connections);
  const kernel = await Kernel.start(lab, connections);
  try {
    return await lab.withComet('comet', async (comet) => {
      const tcp = await Room.open(lab, comet, connections, 'tcp');
      const websocket = withWebSocket ? await Room.open(lab, comet, connections, 'ws') : undefined;
      const found = { kernel: [] as number[], tcp: [] as number[], websocket: [] as number[] };
      try {
        for (const room of [tcp, websocket]) await room?.measure(scale.warmupMs);
        await kernel.run(perSecond, scale.warmupMs);
        tcp.faults.length = 0;
        for (let round = 0; round < scale.rounds; round += 1) {
          onProgress({
            kind: 'phase',
            text: `fan-out to ${connections}, round ${round + 1} of ${scale.rounds}`,
          });
          found.kernel.push((await kernel.run(perSecond, scale.durationMs)).sendMicros);
          found.tcp.push(await tcp.measure(scale.durationMs));
          if (websocket) found.websocket.push(await websocket.measure(scale.durationMs));
        }
        return { connections, ...found, faults: [...tcp.faults, ...(websocket?.faults ?? [])] };
      } finally {
        await tcp.close();
        await websocket?.close();
      }
    });
  } finally {
    await kernel.close();
  }
}

/** A row for comet against the kernel at one number of connections. */
export function kernelRow(found: FanOut, limit: number, goim: string): LimitRow {
  return rowOf({
    what: `comet CPU a delivered message against C send, one message a write, ${count(found.connections)} connections`,
    goim,
    bound: 'most',
    limit,
    rounds: ratios(found.tcp, found.kernel),
    text: times,
    note: `comet ${micros(median(found.tcp))}, C ${micros(median(found.kernel))}`,
    faults: found.faults,
  });
}

function passesPerSecond(connections: number): number {
  return Math.max(LEAST_PASSES_PER_SECOND, Math.round(DELIVERED_PER_SECOND / connections));
}

/** One room of a comet, over one transport. */
class Room {
  readonly faults: string[] = [];

  private constructor(
    private readonly lab: Lab,
    private readonly bench: Bench,
    private readonly side: LoadSide,
  ) {}

  static async open(
    lab: Lab,
    comet: JoinedComet,
    connections: number,
    transport: 'tcp' | 'ws',
  ): Promise<Room> {
    const bench = lab.bench(comet, { connections, transport, via: 'comet', batch: 1 });
    const side = await bench.load(connections);
    await bench.connectAll(side);
    return new Room(lab, bench, side);
  }

  /** µs a delivered message. */
  async measure(durationMs: number): Promise<number> {
    const { connections } = this.bench.options;
    const { traffic, tiers, load } = await runTraffic(this.bench, {
      sides: [this.side],
      streams: roomStreams(this.bench.identity, connections),
      perSecond: passesPerSecond(connections),
      warmupMs: 0,
      durationMs,
    });
    this.lab.watch(`fan-out to ${count(connections)}`, load);
    this.faults.push(...trafficFaults(traffic, this.bench.options));
    return cometMicros(tiers);
  }

  close(): Promise<void> {
    return this.bench.stop();
  }
}

import { setTimeout as sleep } from 'node:timers/promises';

import type { ClientKind, Device } from '../device/device.js';
import type { ClusterTargets, FaultTargets, OpenNetwork } from '../faults/fault.js';
import type { FaultChoice } from '../faults/fault-list.js';
import { runFaults } from '../faults/fault-runner.js';
import { drawSchedule, type PlannedFault } from '../faults/schedule.js';
import { GrpcPusher } from '../push/grpc-pusher.js';
import { HttpPusher } from '../push/http-pusher.js';
import type { Pusher } from '../push/pusher.js';
import { Traffic } from '../push/traffic.js';
import { Random } from '../random.js';
import type { Addresses } from './addresses.js';
import { type Crowd, drawCrowd } from './crowd.js';
import { churn, connectAll, liveAll, openDevices } from './devices.js';
import { judge } from './judge.js';
import type { CheckLog, FaultSpan } from './log.js';
import { MemoryWatch, type MemoryUse } from './memory.js';
import { settle } from './settle.js';
import type { Verdict } from './verdict.js';

export interface CheckOptions {
  readonly addresses: Addresses;
  readonly targets: ClusterTargets;
  readonly faults: readonly FaultChoice[];
  readonly durationMs: number;
  /** Pushes a second, over all targets. */
  readonly perSecond: number;
  readonly users: number;
  readonly rooms: number;
  /** Devices of a hundred that come and go, reconnect, freeze or read slowly all the while. */
  readonly restlessPercent: number;
  /** Which clients the devices are, in turn. */
  readonly clients: readonly ClientKind[];
  /** Bodies are of all sizes up to about this. */
  readonly maxBodyBytes: number;
  readonly seed: number;
  /** How long it is waited for what is missing at the end, when nothing comes any more. */
  readonly patienceMs: number;
  readonly apiKey?: string;
  /** Ends the check early: faults are undone, and what was pushed is judged. */
  readonly signal: AbortSignal;
  readonly onProgress: (progress: Progress) => void;
}

/** What is told while a check runs. */
export type Progress =
  | { readonly kind: 'planned'; readonly schedule: readonly PlannedFault[]; readonly crowd: Crowd }
  | { readonly kind: 'connected'; readonly devices: number; readonly tookMs: number }
  | { readonly kind: 'fault'; readonly span: FaultSpan }
  | { readonly kind: 'settling'; readonly pushes: number };

export interface CheckOutcome {
  readonly seed: number;
  readonly run: string;
  readonly startedAt: string;
  readonly schedule: readonly PlannedFault[];
  readonly log: CheckLog;
  /** When the last push had its answer. */
  readonly pushedUntilMs: number;
  readonly endMs: number;
  /** Pushes that were not made because every stream waited for an answer. */
  readonly heldBack: number;
  readonly verdict: Verdict;
  /** Faults that could not be injected or undone, devices that did not come back. */
  readonly troubles: readonly string[];
  /** Of the comets, where they run on this machine. */
  readonly memory: readonly MemoryUse[];
}

const CALL_TIMEOUT_MS = 5_000;
const ANSWERS_WITHIN_MS = 60_000;
const QUIET_MS = 2_000;

/** Pushes, breaks, records and judges. Throws `no_node` when the clients cannot connect to begin with. */
export async function runCheck(options: CheckOptions): Promise<CheckOutcome> {
  const { addresses, faults, durationMs, seed, signal, onProgress } = options;
  const schedule = drawSchedule(faults, durationMs, new Random(seed));
  const crowd = drawCrowd(options, new Random(seed + 1));
  onProgress({ kind: 'planned', schedule, crowd });
  const startedAt = new Date().toISOString();
  const began = performance.now();
  let nowMs = (): number => performance.now() - began;
  const devices = openDevices({ crowd, addresses, seed, nowMs: () => nowMs() });
  const pushers = openPushers(options);
  const traffic = new Traffic({
    run: crowd.run,
    operation: crowd.operation,
    streams: crowd.streams,
    pushers,
    perSecond: options.perSecond,
    random: new Random(seed + 2),
    termsRandom: new Random(seed + 3),
    durationMs,
    nowMs: () => nowMs(),
    callTimeoutMs: CALL_TIMEOUT_MS,
    maxBodyBytes: options.maxBodyBytes,
  });
  const memory = new MemoryWatch(options.targets.nodes.filter(({ name }) => name.startsWith('comet-')));
  let network: OpenNetwork | undefined;
  try {
    const links = faults.flatMap(({ kind: { link } }) => link ?? []);
    if (links.length > 0) network = await options.targets.openNetwork?.(links);
    await connectAll(devices, signal);
    const connectedAt = nowMs();
    onProgress({ kind: 'connected', devices: devices.length, tookMs: connectedAt });
    const targets = { ...options.targets, ...(network ? { network } : {}) };
    const context = { ...options, targets, devices, nowMs, connectedAt };
    const spans = await breakWhilePushing(traffic, schedule, context);
    const pushedUntilMs = nowMs();
    onProgress({ kind: 'settling', pushes: traffic.pushes.length });
    await settle(devices, crowd.streams, traffic.pushes, {
      quietMs: QUIET_MS,
      patienceMs: options.patienceMs,
      nowMs,
      signal,
    });
    const endMs = nowMs();
    const troubles = [
      ...spans.flatMap(({ name, trouble }) => (trouble === undefined ? [] : [`${name} ${trouble}`])),
      ...devices
        .filter(({ isConnected }) => !isConnected)
        .map(({ log, status }) => `${log.name} is not connected${status ? ` (${status})` : ''}`),
    ];
    // What comes while the clients are closed is no part of it.
    nowMs = () => endMs;
    const log: CheckLog = {
      streams: crowd.streams.map(({ name, kind }) => ({ name, kind })),
      pushes: [...traffic.pushes],
      devices: devices.map((device) => ({ ...device.log, connections: [...device.log.connections] })),
      faults: spans,
    };
    return {
      seed,
      run: crowd.run,
      startedAt,
      schedule,
      log,
      pushedUntilMs,
      endMs,
      heldBack: traffic.heldBack,
      verdict: judge(log, { endMs }),
      troubles,
      memory: memory.end(),
    };
  } finally {
    memory.end();
    for (const device of devices) device.stop();
    for (const pusher of pushers) pusher.close();
    await network?.close();
  }
}

/** Pushes for the time, and until the last fault is undone. */
async function breakWhilePushing(
  traffic: Traffic,
  schedule: readonly PlannedFault[],
  context: CheckOptions & {
    readonly devices: readonly Device[];
    readonly nowMs: () => number;
    readonly connectedAt: number;
  },
): Promise<FaultSpan[]> {
  const { devices, seed, nowMs, connectedAt, signal, durationMs, onProgress } = context;
  const end = new AbortController();
  const pushing = traffic.run(end.signal);
  const living = liveAll(devices, seed, end.signal);
  const targets: FaultTargets = {
    ...context.targets,
    dropClients: () => {
      for (const device of devices) device.drop();
    },
    churnClient: (turn) => churn(devices, turn),
  };
  const [spans] = await Promise.all([
    runFaults(
      schedule.map((planned) => ({ ...planned, atMs: planned.atMs + connectedAt })),
      { targets, nowMs, onChange: (span) => onProgress({ kind: 'fault', span }) },
      signal,
    ),
    sleep(durationMs, undefined, { signal }).catch(() => undefined),
  ]);
  end.abort();
  await pushing;
  await living;
  await traffic.finish(signal.aborted ? 0 : ANSWERS_WITHIN_MS);
  return spans;
}

function openPushers({ addresses, apiKey }: CheckOptions): Pusher[] {
  // Three pushes of four go over gRPC, where they can be repeated by their id.
  const grpc = addresses.grpc.flatMap((address) => [0, 1, 2].map(() => new GrpcPusher(address, apiKey)));
  return [...grpc, ...addresses.http.map((base) => new HttpPusher(base, apiKey))];
}

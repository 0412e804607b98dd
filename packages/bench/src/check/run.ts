import { setTimeout as sleep } from 'node:timers/promises';

import { HalleyError } from '@halley/protocol/error';

import type { Device } from '../device/device.js';
import { GoimDevice } from '../device/goim-device.js';
import type { FaultTargets } from '../faults/fault.js';
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
import { judge } from './judge.js';
import type { CheckLog, FaultSpan } from './log.js';
import { settle } from './settle.js';
import type { Verdict } from './verdict.js';

export interface CheckOptions {
  readonly addresses: Addresses;
  readonly targets: Omit<FaultTargets, 'dropClients'>;
  readonly faults: readonly FaultChoice[];
  readonly durationMs: number;
  /** Pushes a second, over all targets. */
  readonly perSecond: number;
  readonly users: number;
  readonly rooms: number;
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
}

const CALL_TIMEOUT_MS = 5_000;
const HEARTBEAT_MS = 3_000;
const CONNECT_WITHIN_MS = 60_000;
const CONNECT_BATCH = 50;
const ANSWERS_WITHIN_MS = 60_000;
const QUIET_MS = 2_000;

/** Pushes, breaks, records and judges. Throws `no_node` when the clients cannot connect to begin with. */
export async function runCheck(options: CheckOptions): Promise<CheckOutcome> {
  const { addresses, faults, durationMs, seed, users, rooms, signal, onProgress } = options;
  const schedule = drawSchedule(faults, durationMs, new Random(seed));
  const crowd = drawCrowd({ users, rooms }, new Random(seed + 1));
  onProgress({ kind: 'planned', schedule, crowd });
  const startedAt = new Date().toISOString();
  const began = performance.now();
  let nowMs = (): number => performance.now() - began;
  const devices = openDevices(crowd, addresses, seed, () => nowMs());
  const pushers = openPushers(options);
  const traffic = new Traffic({
    run: crowd.run,
    operation: crowd.operation,
    streams: crowd.streams,
    pushers,
    perSecond: options.perSecond,
    random: new Random(seed + 2),
    nowMs: () => nowMs(),
    callTimeoutMs: CALL_TIMEOUT_MS,
  });
  try {
    await connectAll(devices, signal);
    const connectedAt = nowMs();
    onProgress({ kind: 'connected', devices: devices.length, tookMs: connectedAt });
    const spans = await breakWhilePushing(traffic, schedule, { ...options, devices, nowMs, connectedAt });
    const pushedUntilMs = nowMs();
    onProgress({ kind: 'settling', pushes: traffic.pushes.length });
    await settle(devices, crowd.streams, traffic.pushes, {
      quietMs: QUIET_MS,
      patienceMs: options.patienceMs,
      signal,
    });
    const endMs = nowMs();
    const troubles = [
      ...spans.flatMap(({ name, trouble }) => (trouble === undefined ? [] : [`${name} ${trouble}`])),
      ...devices.filter(({ isConnected }) => !isConnected).map(({ log }) => `${log.name} is not connected`),
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
    };
  } finally {
    for (const device of devices) device.stop();
    for (const pusher of pushers) pusher.close();
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
  const { devices, nowMs, connectedAt, signal, durationMs, onProgress } = context;
  const end = new AbortController();
  const pushing = traffic.run(end.signal);
  const targets: FaultTargets = {
    ...context.targets,
    dropClients: () => {
      for (const device of devices) device.drop();
    },
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
  await traffic.finish(signal.aborted ? 0 : ANSWERS_WITHIN_MS);
  return spans;
}

function openDevices(crowd: Crowd, addresses: Addresses, seed: number, nowMs: () => number): Device[] {
  const { run, operation } = crowd;
  return crowd.devices.map((wanted, index) => {
    // Where only one transport is served, all use that.
    const other = wanted.transport === 'tcp' ? 'websocket' : 'tcp';
    const transport = addresses[wanted.transport].length > 0 ? wanted.transport : other;
    return new GoimDevice({
      spec: { ...wanted, transport },
      run,
      operation,
      comets: addresses[transport],
      random: new Random(seed + 1_000 + index),
      nowMs,
      heartbeatMs: HEARTBEAT_MS,
    });
  });
}

function openPushers({ addresses, apiKey }: CheckOptions): Pusher[] {
  // Three pushes of four go over gRPC, where they can be repeated by their id.
  const grpc = addresses.grpc.flatMap((address) => [0, 1, 2].map(() => new GrpcPusher(address, apiKey)));
  return [...grpc, ...addresses.http.map((base) => new HttpPusher(base, apiKey))];
}

async function connectAll(devices: readonly Device[], signal: AbortSignal): Promise<void> {
  const until = performance.now() + CONNECT_WITHIN_MS;
  const allAre = async (some: readonly Device[]): Promise<void> => {
    while (!some.every(({ isConnected }) => isConnected)) {
      if (signal.aborted) throw new HalleyError('unavailable', 'the check was ended before it began');
      if (performance.now() > until) {
        const missing = some.filter(({ isConnected }) => !isConnected).map(({ log }) => log.name);
        throw new HalleyError(
          'no_node',
          `${missing.length} clients cannot connect, ${missing[0]} is the first`,
        );
      }
      await sleep(20);
    }
  };
  for (let from = 0; from < devices.length; from += CONNECT_BATCH) {
    const batch = devices.slice(from, from + CONNECT_BATCH);
    for (const device of batch) device.start();
    await allAre(batch);
  }
}

import { setMaxListeners } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';

import type { TransportName } from '@halley/client/transport/transport';
import { HalleyError } from '@halley/protocol/error';

import type { Device } from '../device/device.js';
import { GoimDevice } from '../device/goim-device.js';
import { live } from '../device/habit.js';
import { SdkDevice } from '../device/sdk-device.js';
import { Random } from '../random.js';
import type { Addresses } from './addresses.js';
import type { Crowd } from './crowd.js';

/** A goim client's cursor follows two heartbeats behind: what is skipped is soon not repeated any more, and so is seen. */
const HEARTBEAT_MS = 1_000;
const CONNECT_WITHIN_MS = 60_000;
const CONNECT_BATCH = 50;

export interface DevicesDeps {
  readonly crowd: Crowd;
  readonly addresses: Addresses;
  readonly seed: number;
  readonly nowMs: () => number;
}

/** The devices of the crowd, none of them connected. */
export function openDevices({ crowd, addresses, seed, nowMs }: DevicesDeps): Device[] {
  const { run, operation } = crowd;
  return crowd.devices.map((wanted, index) => {
    const transport = servedBy(wanted.transport, addresses);
    const { tcp, websocket } = addresses;
    const deps = {
      spec: { ...wanted, transport },
      run,
      operation,
      comets: wanted.moves ? [...tcp, ...websocket] : transport === 'tcp' ? tcp : websocket,
      random: new Random(seed + 1_000 + index),
      nowMs,
    };
    return wanted.client === 'sdk'
      ? new SdkDevice(deps)
      : new GoimDevice({ ...deps, heartbeatMs: HEARTBEAT_MS });
  });
}

/** Where only one port is served, all use that. */
function servedBy(wanted: TransportName, { tcp, websocket }: Addresses): TransportName {
  if (websocket.length === 0) return 'tcp';
  return wanted === 'tcp' && tcp.length === 0 ? 'websocket' : wanted;
}

/** Connects them all, some at a time. Throws `no_node` when that cannot be done. */
export async function connectAll(devices: readonly Device[], signal: AbortSignal): Promise<void> {
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

/** Lets each live by its habit until the signal aborts. */
export async function liveAll(devices: readonly Device[], seed: number, signal: AbortSignal): Promise<void> {
  // Each waits with it.
  setMaxListeners(0, signal);
  await Promise.all(
    devices.map((device, index) =>
      live(device, device.log.habit, new Random(seed + 500_000 + index), signal),
    ),
  );
}

/** Has one device reconnect, each time to the next comet, as soon as it is in session; until the answer is called. */
export function churn(devices: readonly Device[], turn: number): () => void {
  const device = devices[turn % devices.length];
  const timer = setInterval(() => {
    if (device?.isConnected) device.drop();
  }, 10);
  return () => clearInterval(timer);
}

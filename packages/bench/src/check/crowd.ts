import { randomBytes } from 'node:crypto';

import type { TransportName } from '@halley/client/transport/transport';

import type { ClientKind, DeviceSpec } from '../device/device.js';
import { type Habit, RESTLESS } from '../device/habit.js';
import { SDK_TRANSPORTS } from '../device/sdk-transports.js';
import type { TrafficStream } from '../push/traffic.js';
import type { Random } from '../random.js';
import type { CheckedStream } from './log.js';

export interface CrowdSize {
  readonly users: number;
  readonly rooms: number;
  /** Devices of a hundred that do not just stay and read. */
  readonly restlessPercent: number;
  /** Which clients the devices are, in turn. */
  readonly clients: readonly ClientKind[];
}

/** Who takes part in a check. */
export interface Crowd {
  /** Told apart from other checks on the same cluster, whatever their seed. */
  readonly run: string;
  /** No other client of the cluster accepts it. */
  readonly operation: number;
  readonly streams: readonly (CheckedStream & TrafficStream)[];
  readonly devices: readonly DeviceSpec[];
}

/** Every so many users have a second device, of another transport. */
const SECOND_DEVICE_EVERY = 4;
const GOIM_TRANSPORTS: readonly TransportName[] = ['tcp', 'websocket'];
/** Of the SDK's clients, those that move between transports. */
const MOVING = 0.3;
/** Of the pushes, in percent. */
const SHARE = { user: 70, room: 25, everyone: 5 };

/** Draws users, their devices and their rooms. */
export function drawCrowd(
  { users, rooms, restlessPercent, clients }: CrowdSize,
  random: Random,
  run = newRun(),
): Crowd {
  const roomOf = (index: number) => ({ type: 'check', room: `${run}-${index}` });
  const streams = [
    ...Array.from({ length: users }, (_, index) => ({
      name: `user-${index}`,
      kind: 'user' as const,
      target: { mid: midOf(run, index) },
      weight: share(SHARE.user, users),
    })),
    ...Array.from({ length: rooms }, (_, index) => ({
      name: `room-${index}`,
      kind: 'room' as const,
      target: { room: roomOf(index) },
      weight: share(SHARE.room, rooms),
    })),
    {
      name: 'everyone',
      kind: 'everyone' as const,
      target: { everyone: true as const },
      weight: share(SHARE.everyone, 1),
    },
  ];
  let count = 0;
  const devices = Array.from({ length: users }, (_, user) => {
    const two = Array.from({ length: user % SECOND_DEVICE_EVERY === 0 ? 2 : 1 }, () => {
      const client = clients[count % clients.length] ?? 'goim';
      count += 1;
      return client;
    });
    const used = new Set<TransportName>();
    return two.map((client) => {
      const possible = client === 'sdk' ? SDK_TRANSPORTS : GOIM_TRANSPORTS;
      const transport = random.pick(possible.filter((one) => !used.has(one)));
      used.add(transport);
      const room = random.below(Math.max(1, rooms));
      return {
        name: `user-${user}/${transport}`,
        client,
        transport,
        moves: client === 'sdk' && random.chance(MOVING),
        mid: midOf(run, user),
        key: `${run}-${user}-${transport}`,
        room: rooms > 0 ? `check://${roomOf(room).room}` : '',
        habit: 'stays' as Habit,
        streams: [`user-${user}`, ...(rooms > 0 ? [`room-${room}`] : []), 'everyone'],
      };
    });
  }).flat();
  const restless = random
    .shuffled(devices.map(({ name }) => name))
    .slice(0, Math.round((devices.length * restlessPercent) / 100));
  const habits = new Map(restless.map((name, index) => [name, RESTLESS[index % RESTLESS.length]]));
  return {
    run,
    operation: 1_000_000 + (Number.parseInt(run, 36) % 1_000_000_000),
    streams,
    devices: devices.map((device) => ({ ...device, habit: habits.get(device.name) ?? device.habit })),
  };
}

/** Ten letters and digits. */
function newRun(): string {
  return randomBytes(8).readBigUInt64BE().toString(36).padStart(10, '0').slice(0, 10);
}

/** Above 2^53, where a double no longer tells neighbours apart. */
function midOf(run: string, user: number): bigint {
  return (1n << 61n) + (BigInt(Number.parseInt(run, 36) % 2 ** 40) << 20n) + BigInt(user);
}

/** In thousandths of the pushes, for each of `count` streams. */
function share(percent: number, count: number): number {
  return (percent * 100) / Math.max(1, count);
}

import { CLIENT_KINDS, type ClientKind } from '../device/device.js';
import { type Habit, HABITS } from '../device/habit.js';
import type { JudgedDevice } from './judge-device.js';

/** How soon devices of one kind and habit were shown what was pushed to their users. */
export interface Readers {
  readonly client: ClientKind;
  readonly habit: Habit;
  readonly devices: number;
  /** Pushes that were answered at the first call. */
  readonly deliveries: number;
  /** From the call, or from when the device was back and read, to when it was shown. */
  readonly medianMs: number;
  readonly p99Ms: number;
}

/** Of each kind and habit that some device has. */
export function readersOf(judged: readonly JudgedDevice[]): Readers[] {
  return CLIENT_KINDS.flatMap((client) =>
    HABITS.flatMap((habit) => {
      const own = judged.filter(({ device }) => device.kind === client && device.habit === habit);
      return own.length === 0 ? [] : [{ client, habit, ...delaysOf(own) }];
    }),
  );
}

function delaysOf(own: readonly JudgedDevice[]): Omit<Readers, 'client' | 'habit'> {
  const delays = own.flatMap(({ delaysMs }) => delaysMs).toSorted((a, b) => a - b);
  const at = (share: number): number => delays[Math.floor((delays.length - 1) * share)] ?? 0;
  return { devices: own.length, deliveries: delays.length, medianMs: at(0.5), p99Ms: at(0.99) };
}

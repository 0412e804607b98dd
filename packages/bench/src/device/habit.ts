import { setTimeout as sleep } from 'node:timers/promises';

import type { Random } from '../random.js';
import type { Device } from './device.js';

/** What a device does by itself while a check runs, whatever else is broken. */
export const HABITS = ['stays', 'comes and goes', 'reconnects', 'reads slowly', 'freezes'] as const;

export type Habit = (typeof HABITS)[number];

/** The others than `stays`, as often as they are drawn: most is asked of a cluster by who is away while pushed to. */
export const RESTLESS: readonly Habit[] = [
  'comes and goes',
  'freezes',
  'comes and goes',
  'reconnects',
  'comes and goes',
  'reads slowly',
];

/** Whole milliseconds from `leastMs` on, with as much spread. */
interface Span {
  readonly leastMs: number;
  readonly spreadMs: number;
}

/** Mostly for some heartbeats, so that goim's cursor moves. */
const HERE: Span = { leastMs: 500, spreadMs: 6_500 };
const AWAY: Span = { leastMs: 500, spreadMs: 6_000 };
const CONNECTED: Span = { leastMs: 200, spreadMs: 5_000 };
const FROZEN: Span = { leastMs: 3_000, spreadMs: 9_000 };
/** Between two looks at what came. */
const SIP: Span = { leastMs: 300, spreadMs: 400 };
const LOOK: Span = { leastMs: 5, spreadMs: 10 };

/** Lives by the habit until the signal aborts; then the device is connected, or about to be, and reads. */
export async function live(device: Device, habit: Habit, random: Random, signal: AbortSignal): Promise<void> {
  const wait = ({ leastMs, spreadMs }: Span): Promise<void> =>
    sleep(leastMs + random.below(spreadMs), undefined, { signal }).catch(() => undefined);
  while (!signal.aborted) {
    switch (habit) {
      case 'stays':
        return;
      case 'comes and goes':
        await wait(HERE);
        device.leave();
        await wait(AWAY);
        device.comeBack();
        break;
      case 'reconnects':
        await wait(CONNECTED);
        device.drop();
        break;
      case 'reads slowly':
        device.freeze();
        await wait(SIP);
        device.thaw();
        await wait(LOOK);
        break;
      case 'freezes':
        await wait(HERE);
        device.freeze();
        await wait(FROZEN);
        device.thaw();
        break;
    }
  }
}

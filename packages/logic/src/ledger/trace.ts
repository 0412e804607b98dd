import type { ConnectionKey, UserId } from '@halley/protocol/ids';
import type { LedgerRow } from '@halley/store/ledger/ledger';
import type { Schedule } from '@halley/store/schedule/schedules';
import type { Position, Sender } from '@halley/store/streams/streams';

/** What became of a push as a whole; the words are told in protos/halley/push/v1/ledger.proto. */
export type TraceState =
  | 'unknown'
  | 'refused'
  | 'scheduled'
  | 'cancelled'
  | 'dead'
  | 'waiting'
  | 'sent'
  | 'acknowledged'
  | 'expired'
  | 'dropped'
  | 'fired'
  | 'removed';

/** What became of it on one device. */
export const DEVICE_STATES = [
  'waiting',
  'sending',
  'sent',
  'acknowledged',
  'other_devices',
  'not_accepted',
  'expired',
  'dropped',
  'earlier',
  'unknown',
] as const;
export type DeviceState = (typeof DEVICE_STATES)[number];

/** An entry of a push, wherever it was found. */
export interface TracedEntry {
  readonly epoch: string;
  /** As the archive names it where it is found there alone: a long name is a hash. */
  readonly stream: string;
  readonly position: Position;
  readonly archived: boolean;
  /** Only these devices; empty is all. */
  readonly keys: readonly ConnectionKey[];
  readonly operation: number;
  readonly acceptedAtMs: number;
  readonly expireAtMs: number;
  readonly retentionMs?: number | undefined;
  readonly collapseKey?: string | undefined;
  readonly bodyBytes: number;
  readonly sender?: Sender | undefined;
}

export interface TracedStream extends TracedEntry {
  /** Of a user's stream: whether the user has read it; undefined is not known. */
  readonly read?: boolean | undefined;
}

export interface TracedDevice {
  readonly stream: string;
  /** Undefined where it is not known. */
  readonly mid: UserId | undefined;
  readonly key: string;
  readonly state: DeviceState;
  readonly connected: boolean;
  /** Of a connection. */
  readonly node?: string;
  readonly transport?: string;
  readonly version?: number;
  readonly connectedAtMs?: number;
  readonly sentPosition?: Position;
  readonly acknowledgedPosition?: Position;
  /** How the device acknowledges, where that is known. */
  readonly by?: 'ack' | 'heartbeat';
  /** Of a device that is away: when it was here last, to some seconds. */
  readonly lastSeenMs?: number;
}

export type DeviceCounts = Readonly<Record<DeviceState, number>>;

/** Everything that is known of a push. Times are Unix milliseconds; undefined is not known. */
export interface Trace {
  readonly id: string;
  readonly caller: string;
  readonly state: TraceState;
  readonly acceptedAtMs?: number | undefined;
  /** 0 is never. */
  readonly expireAtMs: number;
  /** Undefined where it is not known. */
  readonly durable?: boolean | undefined;
  readonly operation: number;
  readonly bodyBytes: number;
  readonly sender?: Sender | undefined;
  readonly schedule?: Schedule | undefined;
  readonly streams: number;
  /** The first of them. */
  readonly appended: readonly TracedStream[];
  readonly counts: DeviceCounts;
  /** A page of them, by stream and key. */
  readonly devices: readonly TracedDevice[];
  /** Empty where no devices are behind the page. */
  readonly next: string;
  readonly exceptions: readonly LedgerRow[];
  readonly moreExceptions: number;
  readonly lostReports: number;
  readonly notes: readonly string[];
}

export function noCounts(): Record<DeviceState, number> {
  return Object.fromEntries(DEVICE_STATES.map((state) => [state, 0])) as Record<DeviceState, number>;
}

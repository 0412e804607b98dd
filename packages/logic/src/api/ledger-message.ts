import type { DeviceTrace } from '@halley/cluster/grpc/gen/halley/push/v1/DeviceTrace';
import type { ExceptionTrace } from '@halley/cluster/grpc/gen/halley/push/v1/ExceptionTrace';
import type { ScheduleTrace } from '@halley/cluster/grpc/gen/halley/push/v1/ScheduleTrace';
import type { StreamTrace } from '@halley/cluster/grpc/gen/halley/push/v1/StreamTrace';
import type { TraceReply } from '@halley/cluster/grpc/gen/halley/push/v1/TraceReply';
import type { LedgerRow } from '@halley/store/ledger/ledger';

import type { DeviceState, Trace, TracedDevice, TracedStream, TraceState } from '../ledger/trace.js';

/** What became of a push, as LedgerService tells it. */
export function traceReplyOf(trace: Trace): TraceReply {
  const { sender } = trace;
  return {
    id: trace.id,
    caller: trace.caller,
    state: STATES[trace.state],
    accepted_at_ms: trace.acceptedAtMs ?? 0,
    expire_at_ms: trace.expireAtMs,
    class: trace.durable === true ? 'DELIVERY_CLASS_DURABLE' : 'DELIVERY_CLASS_UNSPECIFIED',
    operation: trace.operation,
    body_bytes: trace.bodyBytes,
    ...(sender && { from_mid: sender.mid, from_key: sender.key }),
    ...(trace.schedule && { schedule: scheduleOf(trace.schedule) }),
    streams: trace.streams,
    appended: trace.appended.map(streamOf),
    counts: { ...trace.counts },
    devices: trace.devices.map(deviceOf),
    next: trace.next,
    exceptions: trace.exceptions.map(exceptionOf),
    more_exceptions: trace.moreExceptions,
    lost_reports: trace.lostReports,
    notes: [...trace.notes],
  };
}

const STATES = {
  unknown: 'TRACE_STATE_UNSPECIFIED',
  refused: 'TRACE_STATE_REFUSED',
  scheduled: 'TRACE_STATE_SCHEDULED',
  cancelled: 'TRACE_STATE_CANCELLED',
  dead: 'TRACE_STATE_DEAD',
  waiting: 'TRACE_STATE_WAITING',
  sent: 'TRACE_STATE_SENT',
  acknowledged: 'TRACE_STATE_ACKNOWLEDGED',
  expired: 'TRACE_STATE_EXPIRED',
  dropped: 'TRACE_STATE_DROPPED',
  fired: 'TRACE_STATE_FIRED',
  removed: 'TRACE_STATE_REMOVED',
} as const satisfies Record<TraceState, string>;

const DEVICE_STATES = {
  waiting: 'DEVICE_STATE_WAITING',
  sending: 'DEVICE_STATE_SENDING',
  sent: 'DEVICE_STATE_SENT',
  acknowledged: 'DEVICE_STATE_ACKNOWLEDGED',
  other_devices: 'DEVICE_STATE_OTHER_DEVICES',
  not_accepted: 'DEVICE_STATE_NOT_ACCEPTED',
  expired: 'DEVICE_STATE_EXPIRED',
  dropped: 'DEVICE_STATE_DROPPED',
  earlier: 'DEVICE_STATE_EARLIER',
  unknown: 'DEVICE_STATE_UNKNOWN',
} as const satisfies Record<DeviceState, string>;

function scheduleOf(schedule: NonNullable<Trace['schedule']>): ScheduleTrace {
  return {
    state: schedule.state,
    deliver_at_ms: schedule.dueAtMs,
    fired_at_ms: schedule.firedAtMs ?? 0,
    ended_at_ms: schedule.endedAtMs ?? 0,
    digest_id: schedule.digestId ?? '',
    members: schedule.members,
    recurring: schedule.recurring ?? '',
  };
}

function streamOf({ stream, epoch, position, archived, keys, read }: TracedStream): StreamTrace {
  return { stream, epoch, position, archived, keys: [...keys], ...(read !== undefined && { read }) };
}

function deviceOf(device: TracedDevice): DeviceTrace {
  return {
    stream: device.stream,
    mid: device.mid ?? 0,
    key: device.key,
    state: DEVICE_STATES[device.state],
    connected: device.connected,
    node: device.node ?? '',
    transport: device.transport ?? '',
    version: device.version ?? 0,
    connected_at_ms: device.connectedAtMs ?? 0,
    sent_position: device.sentPosition ?? -1,
    acknowledged_position: device.acknowledgedPosition ?? -1,
    by: device.by ?? '',
    last_seen_ms: device.lastSeenMs ?? 0,
  };
}

function exceptionOf(row: LedgerRow): ExceptionTrace {
  const { kind, reason, tier, node, atMs, lastAtMs, stream, keys, count } = row;
  return { kind, reason, tier, node, at_ms: atMs, last_at_ms: lastAtMs, stream, keys: [...keys], count };
}

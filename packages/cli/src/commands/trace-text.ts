import type { DeviceTrace__Output } from '@halley/cluster/grpc/gen/halley/push/v1/DeviceTrace';
import type { ExceptionTrace__Output } from '@halley/cluster/grpc/gen/halley/push/v1/ExceptionTrace';
import type { TraceReply__Output } from '@halley/cluster/grpc/gen/halley/push/v1/TraceReply';

import { bytesText } from '../body-text.js';
import { timeText } from '../duration.js';
import { colours, table } from '../terminal.js';

/** What the states of a push mean. */
const STATES: Readonly<Record<string, string>> = {
  unknown: 'nothing is known of it',
  refused: 'it was not accepted',
  scheduled: 'it waits for its time',
  cancelled: 'it was cancelled',
  dead: 'it was put aside: it cannot be delivered',
  waiting: 'some of its devices do not have it yet, or none is known',
  sent: 'it has left for each of its devices',
  acknowledged: 'each of its devices has it',
  expired: 'its time passed, and no device has it',
  dropped: 'it was dropped',
  fired: 'its time came, and it was handed to the bus',
  removed: 'it was in its streams, and is not kept any more',
};

const UNKNOWN = [
  'What that can mean:',
  '  it was never accepted, or not under this id by this caller (--caller names another);',
  '  it is not kept (class ephemeral), and nothing went wrong with it;',
  '  it is older than what is kept;',
  '  it was accepted a moment ago, and job has not taken it in yet.',
];

/** A trace for a terminal: what it is, what happened when, then a line for each device. */
export function traceLines(trace: TraceReply__Output): string[] {
  const state = wordOf(trace.state);
  const lines = [`${colours.bold(trace.id)}  ${paint(state)}: ${STATES[state] ?? state}`];
  const about = aboutOf(trace);
  if (about) lines.push(colours.dim(about));
  if (state === 'unknown') lines.push(...UNKNOWN);
  const happened = timeline(trace);
  if (happened.length > 0) lines.push('', ...happened);
  const rows = trace.devices.map(deviceRow);
  if (rows.length > 0)
    lines.push('', ...table(['DEVICE', 'OF', 'STATE', 'WHERE', 'SINCE', 'HAS UP TO'], rows));
  const counts = countsText(trace);
  if (counts !== '') lines.push(counts);
  if (trace.next !== '') lines.push(colours.dim(`There are more: --after ${trace.next}`));
  if (Number(trace.lost_reports) > 0)
    lines.push(
      colours.yellow(`Of ${trace.lost_reports} things that went wrong with pushes since, nobody knows more.`),
    );
  lines.push(...trace.notes.map((note) => colours.yellow(note)));
  return lines;
}

/** A trace as JSON: states as words, numbers as numbers. */
export function traceJson(trace: TraceReply__Output): unknown {
  return JSON.parse(JSON.stringify(trace), (name: string, value: unknown) => {
    if ((name === 'state' || name === 'class') && typeof value === 'string') return wordOf(value);
    if (typeof value === 'string' && NUMBERS.test(name)) return Number(value);
    return value;
  }) as unknown;
}

const NUMBERS = /(_ms|position|^count|^lost_reports)$/;

function aboutOf(trace: TraceReply__Output): string {
  const parts = [];
  if (trace.from_mid !== '0') parts.push(`sent by user ${trace.from_mid} (${trace.from_key})`);
  else if (trace.caller !== '') parts.push(`pushed by ${trace.caller}`);
  if (trace.streams > 0) {
    parts.push(`operation ${trace.operation}`, bytesText(trace.body_bytes));
    parts.push(trace.streams === 1 ? trace.appended[0]!.stream : `${trace.streams} streams`);
  }
  if (Number(trace.expire_at_ms) > 0) parts.push(`expires ${timeOf(trace.expire_at_ms)}`);
  return parts.join(' · ');
}

interface Happened {
  readonly atMs: number;
  readonly text: string;
}

/** What happened, in order. What has no time of its own stands behind what it follows. */
function timeline(trace: TraceReply__Output): string[] {
  const events: Happened[] = [];
  const add = (at: string, text: string): void => {
    if (Number(at) > 0) events.push({ atMs: Number(at), text });
  };
  add(trace.accepted_at_ms, 'accepted');
  const { schedule } = trace;
  if (schedule) {
    add(schedule.deliver_at_ms, 'due');
    add(
      schedule.fired_at_ms,
      schedule.members > 0 ? `handed to the bus, with ${schedule.members} in it` : 'handed to the bus',
    );
    add(schedule.ended_at_ms, schedule.state === 'fired' ? 'the bus has it' : schedule.state);
  }
  for (const row of trace.exceptions) add(row.at_ms, exceptionText(row));
  events.sort((one, other) => one.atMs - other.atMs);
  const lines = events.map(({ atMs, text }) => `${timeOf(atMs)}  ${text}`);
  if (schedule?.digest_id) lines.push(`It is delivered with others: halley trace ${schedule.digest_id}`);
  if (trace.more_exceptions > 0) lines.push(`… and ${trace.more_exceptions} more things went wrong.`);
  for (const { stream, position, archived, keys, read } of trace.appended.slice(0, 10)) {
    const only = keys.length > 0 ? `, for ${keys.join(', ')} alone` : '';
    const seen = read === undefined ? '' : read ? ', read' : ', unread';
    lines.push(`in ${stream} at ${position}, ${archived ? 'archived' : 'not archived yet'}${only}${seen}`);
  }
  if (trace.streams > 10) lines.push(`… and in ${trace.streams - 10} more streams.`);
  return lines;
}

function exceptionText({
  kind,
  reason,
  tier,
  node,
  stream,
  keys,
  count,
  at_ms,
  last_at_ms,
}: ExceptionTrace__Output) {
  const times = Number(count) > 1 ? ` ${count} times` : '';
  const where = node === '' ? tier : `${tier} ${node}`;
  const whom = [stream, ...keys.slice(0, 5)].filter(Boolean).join(' ');
  const until = Number(last_at_ms) - Number(at_ms) >= 1_000 ? `, until ${timeOf(last_at_ms)}` : '';
  const why = reason === kind ? '' : ` (${reason})`;
  return colours.yellow(`${kind}${why}${times} by ${where}${whom === '' ? '' : ` for ${whom}`}${until}`);
}

function deviceRow(device: DeviceTrace__Output): string[] {
  const { key, stream, connected, node, transport, version, by } = device;
  const where = connected
    ? [node, transport, version > 0 ? `version ${version}` : ''].filter(Boolean).join(' ')
    : 'away';
  const since = connected ? device.connected_at_ms : device.last_seen_ms;
  const had = Number(device.acknowledged_position);
  return [
    key,
    stream,
    wordOf(device.state),
    where,
    Number(since) > 0 ? timeOf(since) : '-',
    by === '' ? '-' : `${had < 0 ? 'nothing' : had} by ${by}`,
  ];
}

function countsText({ counts }: TraceReply__Output): string {
  const told = Object.entries(counts ?? {}).filter(([, count]) => Number(count) > 0);
  if (told.length === 0) return '';
  return `Devices: ${told.map(([state, count]) => `${count} ${state.replaceAll('_', ' ')}`).join(', ')}.`;
}

/** `TRACE_STATE_WAITING` → `waiting`. */
function wordOf(name: string): string {
  const word = name.replace(/^(TRACE_STATE|DEVICE_STATE|DELIVERY_CLASS)_/, '').toLowerCase();
  return word === 'unspecified' ? 'unknown' : word;
}

function paint(state: string): string {
  if (state === 'acknowledged' || state === 'sent') return colours.green(state);
  if (state === 'waiting' || state === 'scheduled' || state === 'fired') return colours.cyan(state);
  return state === 'unknown' ? colours.yellow(state) : colours.red(state);
}

/** To the millisecond. */
function timeOf(ms: string | number): string {
  return `${timeText(Number(ms))}.${String(Number(ms) % 1_000).padStart(3, '0')}`;
}

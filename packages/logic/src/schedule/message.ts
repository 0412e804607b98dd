import type { Recurring as RecurringMessage } from '@halley/cluster/grpc/gen/halley/push/v1/Recurring';
import type { Schedule as ScheduleMessage } from '@halley/cluster/grpc/gen/halley/push/v1/Schedule';
import type { ListSchedulesRequest__Output } from '@halley/cluster/grpc/gen/halley/push/v1/ListSchedulesRequest';
import type { Recurring } from '@halley/store/schedule/recurring';
import type { Schedule, SchedulePlace, ScheduleState } from '@halley/store/schedule/schedules';

import { invalid } from '../push/target.js';
import { decodeContent } from './content.js';

const STATES = {
  waiting: 'SCHEDULE_STATE_WAITING',
  firing: 'SCHEDULE_STATE_FIRING',
  fired: 'SCHEDULE_STATE_FIRED',
  cancelled: 'SCHEDULE_STATE_CANCELLED',
  failed: 'SCHEDULE_STATE_FAILED',
} as const satisfies Record<ScheduleState, string>;

const KINDS = {
  push: 'SCHEDULE_KIND_PUSH',
  digest: 'SCHEDULE_KIND_DIGEST',
  member: 'SCHEDULE_KIND_MEMBER',
} as const satisfies Record<Schedule['kind'], string>;

/** A schedule in the words of the API. `digest`: a member's, which has its content. */
export function scheduleMessage(schedule: Schedule, body?: Uint8Array, digest?: Schedule): ScheduleMessage {
  const from = schedule.kind === 'member' ? digest : schedule;
  const content = from && decodeContent(from.content);
  const told = body && (schedule.kind === 'member' ? bodyOfItem(body) : bufferOf(body));
  return {
    ...content?.told,
    id: schedule.id,
    kind: KINDS[schedule.kind],
    state: STATES[schedule.state],
    deliver_at_ms: schedule.dueAtMs,
    accepted_at_ms: schedule.acceptedAtMs,
    fired_at_ms: schedule.firedAtMs ?? 0,
    expire_at_ms: schedule.expireAtMs,
    group: content?.group ?? '',
    digest_id: schedule.digestId ?? '',
    count: schedule.members,
    recurring: schedule.recurring ?? '',
    body_bytes: told?.byteLength ?? schedule.bodyBytes,
    ...(told && { body: told }),
  };
}

/** A recurring push in the words of the API. */
export function recurringMessage(recurring: Recurring): RecurringMessage {
  const { name, cron, timeZone, endAtMs, expireAfterMs, nextAtMs, lastAtMs, missed } = recurring;
  return {
    name,
    cron,
    time_zone: timeZone,
    push: { ...decodeContent(recurring.content).told, body: bufferOf(recurring.body) },
    end_at_ms: endAtMs,
    expire_after_ms: expireAfterMs,
    next_at_ms: nextAtMs ?? 0,
    last_at_ms: lastAtMs ?? 0,
    missed,
  };
}

/** The states that a list asks for. Throws `invalid_argument`. */
export function statesOf(asked: ListSchedulesRequest__Output['states']): ScheduleState[] {
  if (asked.length === 0) return ['waiting', 'firing'];
  const names = Object.keys(STATES) as ScheduleState[];
  return asked.map((state, index) => {
    const found = names.find((name) => STATES[name] === state);
    if (!found) throw invalid(`states[${index}]`, `${String(state)} is no state`);
    return found;
  });
}

/** A page's token. */
export function pageOf({ dueAtMs, seq }: SchedulePlace): string {
  return `${dueAtMs}.${seq}`;
}

/** What {@link pageOf} says; undefined for the first page. Throws `invalid_argument`. */
export function placeIn(page: string): SchedulePlace | undefined {
  if (page === '') return undefined;
  const [, dueAtMs, seq] = /^(-?\d{1,16})\.(\d{1,16})$/.exec(page) ?? [];
  if (dueAtMs === undefined || seq === undefined) throw invalid('page', 'is no next_page of a list');
  return { dueAtMs: Number(dueAtMs), seq: Number(seq) };
}

function bodyOfItem(item: Uint8Array): Buffer {
  const { body, body_base64 } = JSON.parse(bufferOf(item).toString('utf8')) as {
    readonly body?: string;
    readonly body_base64?: string;
  };
  return body_base64 === undefined ? Buffer.from(body ?? '') : Buffer.from(body_base64, 'base64');
}

function bufferOf(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

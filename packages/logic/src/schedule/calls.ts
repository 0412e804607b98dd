import type { ListRecurringReply } from '@halley/cluster/grpc/gen/halley/push/v1/ListRecurringReply';
import type { ListSchedulesReply } from '@halley/cluster/grpc/gen/halley/push/v1/ListSchedulesReply';
import type { ListSchedulesRequest__Output } from '@halley/cluster/grpc/gen/halley/push/v1/ListSchedulesRequest';
import type { PutRecurringRequest__Output } from '@halley/cluster/grpc/gen/halley/push/v1/PutRecurringRequest';
import type { Recurring as RecurringMessage } from '@halley/cluster/grpc/gen/halley/push/v1/Recurring';
import type { Schedule as ScheduleMessage } from '@halley/cluster/grpc/gen/halley/push/v1/Schedule';
import { HalleyError } from '@halley/protocol/error';
import type { Clock } from '@halley/service/clock';
import type { Routes } from '@halley/store/routes/routes';
import { checkRule, nextOccurrence } from '@halley/store/schedule/cron';
import type { Schedules } from '@halley/store/schedule/schedules';

import type { LogicMetrics } from '../metrics.js';
import { readPush } from '../push/read-push.js';
import { partsOf } from '../push/record.js';
import { invalid, type PushLimits, type PushMessage } from '../push/target.js';
import { digestOf, encodeContent } from './content.js';
import { pageOf, placeIn, recurringMessage, scheduleMessage, statesOf } from './message.js';

export interface ScheduleCallsDeps {
  readonly schedules: Schedules;
  readonly routes: Pick<Routes, 'owners'>;
  readonly limits: PushLimits;
  /** Of the bus's topic of pushes. */
  readonly partitions: number;
  readonly maxRecordBytes: number;
  readonly clock: Clock;
  readonly metrics: Pick<LogicMetrics, 'cancels'>;
}

const MAX_NAME_LENGTH = 100;
const MAX_LIMIT = 1_000;
const DEFAULT_LIMIT = 100;

/** What callers ask of their schedules and recurring pushes, over gRPC and HTTP. Methods throw HalleyError. */
export class ScheduleCalls {
  constructor(private readonly deps: ScheduleCallsDeps) {}

  /** Resolves when the push is never delivered. Throws `too_late` or `not_found`. */
  async cancel(caller: string, id: string): Promise<void> {
    required(id, 'id');
    const result = await this.deps.schedules.cancel(caller, id);
    this.deps.metrics.cancels.inc({ result });
    if (result === 'not_found') throw new HalleyError('not_found', `id: no push waits under ${id}`);
    if (result === 'too_late') throw new HalleyError('too_late');
  }

  /** With the body. */
  async get(caller: string, id: string): Promise<ScheduleMessage> {
    required(id, 'id');
    const { schedules } = this.deps;
    const schedule = await schedules.get(caller, id);
    if (!schedule) throw new HalleyError('not_found', `id: no push waits under ${id}, or waited lately`);
    const { digestId } = schedule;
    const digest = digestId === undefined ? undefined : await schedules.get(caller, digestId);
    return scheduleMessage(schedule, schedule.body, digest);
  }

  async list(
    caller: string,
    { states, limit, page }: ListSchedulesRequest__Output,
  ): Promise<ListSchedulesReply> {
    const { rows, next } = await this.deps.schedules.list({
      caller,
      states: statesOf(states),
      after: placeIn(page),
      limit: limitOf(limit),
    });
    // A member stands on the page of its digest: they are due together.
    const digests = new Map(rows.filter(({ kind }) => kind === 'digest').map((row) => [row.id, row]));
    return {
      schedules: rows.map((row) => scheduleMessage(row, undefined, digests.get(row.digestId ?? ''))),
      next_page: next ? pageOf(next) : '',
    };
  }

  /** Answers how it stands then. */
  async putRecurring(caller: string, request: PutRecurringRequest__Output): Promise<RecurringMessage> {
    const { name, cron } = request;
    const { schedules, clock, partitions, maxRecordBytes } = this.deps;
    checkName(name);
    const rule = {
      cron,
      timeZone: request.time_zone || 'UTC',
      endAtMs: notNegative(request.end_at_ms, 'end_at_ms'),
    };
    checkRule(rule);
    const expireAfterMs = notNegative(request.expire_after_ms, 'expire_after_ms');
    const push = this.#template(request);
    const nextAtMs = nextOccurrence(rule, clock.now());
    if (nextAtMs === undefined) {
      throw rule.endAtMs > 0 && nextOccurrence({ ...rule, endAtMs: 0 }, clock.now()) !== undefined
        ? invalid('end_at_ms', 'is before the first occurrence')
        : invalid('cron', 'never occurs');
    }
    const owners =
      push.target.kind === 'keys' ? await this.deps.routes.owners(push.target.keys) : new Map<never, never>();
    const context = { partitions, owners, acceptedAtMs: 0, traceparent: '', caller };
    const content = encodeContent(partsOf(push, context, maxRecordBytes), push);
    const recurring = {
      ...rule,
      caller,
      name,
      expireAfterMs,
      nextAtMs,
      content,
      body: push.body,
      digest: digestOf(push),
    };
    await schedules.putRecurring(recurring);
    return recurringMessage({ ...recurring, revision: 0, lastAtMs: undefined, missed: 0 });
  }

  /** With the body. */
  async getRecurring(caller: string, name: string): Promise<RecurringMessage> {
    required(name, 'name');
    const recurring = await this.deps.schedules.getRecurring(caller, name);
    if (!recurring) throw noRecurring(name);
    return recurringMessage(recurring);
  }

  async deleteRecurring(caller: string, name: string): Promise<void> {
    required(name, 'name');
    if (!(await this.deps.schedules.deleteRecurring(caller, name))) throw noRecurring(name);
  }

  /** Without the bodies. */
  async listRecurring(
    caller: string,
    { limit, page }: { readonly limit: number; readonly page: string },
  ): Promise<ListRecurringReply> {
    const after = page === '' ? undefined : page;
    const { rows, more } = await this.deps.schedules.listRecurring(caller, after, limitOf(limit));
    return { recurring: rows.map(recurringMessage), next_page: more ? (rows.at(-1)?.name ?? '') : '' };
  }

  #template({ push }: PutRecurringRequest__Output): PushMessage {
    const { limits, clock } = this.deps;
    if (push?.id) throw invalid('push.id', 'is that of each occurrence: {name}@{its time}');
    for (const field of ['deliver_at_ms', 'delay_ms', 'expire_at_ms'] as const) {
      if (push && Number(push[field]) !== 0)
        throw invalid(`push.${field}`, 'a recurring push has the time of each occurrence');
    }
    if (push?.group) throw invalid('push.group', 'a recurring push goes by itself');
    return readPush(push, limits, clock.now(), 'push.');
  }
}

function checkName(name: string): void {
  required(name, 'name');
  if (name.length > MAX_NAME_LENGTH)
    throw invalid('name', `${name.length} characters, more than ${MAX_NAME_LENGTH}`);
}

function required(text: string, path: string): void {
  if (text === '') throw invalid(path, 'is empty');
}

function notNegative(value: string, path: string): number {
  const number = Number(value);
  if (number < 0) throw invalid(path, 'must not be negative');
  return number;
}

function limitOf(limit: number): number {
  if (limit < 0 || limit > MAX_LIMIT) throw invalid('limit', `must be 0 to ${MAX_LIMIT}`);
  return limit || DEFAULT_LIMIT;
}

function noRecurring(name: string): HalleyError {
  return new HalleyError('not_found', `name: there is no recurring push ${name}`);
}

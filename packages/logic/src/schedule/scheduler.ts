import { isUtf8 } from 'node:buffer';

import { HalleyError } from '@halley/protocol/error';
import type { MessageId } from '@halley/protocol/ids';
import type { Clock } from '@halley/service/clock';
import type { NewSchedule, PutAnswer, Schedules } from '@halley/store/schedule/schedules';
import { v7 as uuidv7 } from 'uuid';

import type { LogicMetrics } from '../metrics.js';
import { partsOf, type RecordContext } from '../push/record.js';
import { invalid, type PushGroup, type PushMessage } from '../push/target.js';
import { digestOf, encodeContent, groupName } from './content.js';
import { ScheduleWriter } from './writer.js';

export interface SchedulerDeps {
  readonly schedules: Pick<Schedules, 'put'>;
  readonly maxBodyBytes: number;
  readonly maxRecordBytes: number;
  readonly clock: Clock;
  readonly metrics: Pick<LogicMetrics, 'scheduled'>;
}

/** A push that waits. */
export interface Scheduled {
  /** Unix milliseconds. */
  readonly deliverAtMs: number;
  /** It had been taken before, perhaps for another time. */
  readonly duplicate: boolean;
}

/** What a record has beside key and value, roughly. */
const RECORD_SLACK_BYTES = 64;

/** Takes pushes that are for later: accepted means committed by the schedules' store. */
export class Scheduler {
  readonly #writer: ScheduleWriter;

  constructor(private readonly deps: SchedulerDeps) {
    this.#writer = new ScheduleWriter(deps.schedules, deps.clock);
  }

  /**
   * Takes a push with a time or a group. Calls put rows in their order. Rejects with `invalid_argument` or `body_too_large`
   * that names the field, `id_conflict`, `deadline_exceeded`, `store_unavailable` (refused), `schedule_unknown`.
   */
  async schedule(
    push: PushMessage,
    context: RecordContext,
    deadlineMs: number | undefined,
  ): Promise<Scheduled> {
    const kind = push.group ? 'member' : 'push';
    try {
      const row = push.group
        ? this.#member(push, push.group, context)
        : this.#push(push, push.deliverAtMs ?? context.acceptedAtMs, context);
      const answer = scheduledBy(await this.#writer.put(row, deadlineMs), push.id);
      this.deps.metrics.scheduled.inc({ kind, result: answer.duplicate ? 'duplicate' : 'put' });
      return answer;
    } catch (error) {
      this.deps.metrics.scheduled.inc({ kind, result: HalleyError.from(error).code });
      throw error;
    }
  }

  #push(push: PushMessage, dueAtMs: number, context: RecordContext): NewSchedule {
    const parts = partsOf(push, context, this.deps.maxRecordBytes);
    return {
      ...common(push, context),
      kind: 'push',
      dueAtMs,
      content: encodeContent(parts, push),
      body: push.body,
    };
  }

  #member(push: PushMessage, group: PushGroup, context: RecordContext): NewSchedule {
    const { windowMs, maxCount } = group;
    if (push.expireAtMs > 0 && push.expireAtMs <= context.acceptedAtMs + windowMs)
      throw invalid('expire_at_ms', 'is not after group.window_ms: nobody would ever be shown it');
    const id = uuidv7() as MessageId;
    const empty = { ...push, id, body: Buffer.alloc(0), expireAtMs: 0 };
    const parts = partsOf(empty, context, this.deps.maxRecordBytes);
    const content = encodeContent(parts, empty);
    // Of the content, each partition's record has a part.
    const room = Math.min(
      this.deps.maxBodyBytes,
      this.deps.maxRecordBytes - content.byteLength - RECORD_SLACK_BYTES,
    );
    const maxBytes = room - shellBytes(group.key);
    const item = itemOf(push, context.acceptedAtMs);
    if (item.byteLength + 1 > maxBytes) {
      throw new HalleyError(
        'body_too_large',
        `body: ${item.byteLength} bytes as an item of its group's digest, more than ${Math.max(0, maxBytes - 1)}`,
      );
    }
    return {
      ...common(push, context),
      kind: 'member',
      group: groupName(push),
      item,
      windowMs,
      maxCount,
      maxBytes,
      opens: { id, content },
    };
  }
}

function common(push: PushMessage, { caller, acceptedAtMs }: RecordContext) {
  return { caller, id: push.id, digest: digestOf(push), acceptedAtMs, expireAtMs: push.expireAtMs };
}

function scheduledBy(answer: PutAnswer, id: string): Scheduled {
  switch (answer.outcome) {
    case 'put':
    case 'duplicate':
      return { deliverAtMs: answer.dueAtMs, duplicate: answer.outcome === 'duplicate' };
    case 'conflict':
      throw new HalleyError('id_conflict', `id: ${id} is that of another push`);
    case 'ended':
      throw new HalleyError('id_conflict', `id: ${id} is that of a push that was cancelled`);
  }
}

/** A push as an item of the digest of its group. */
function itemOf({ id, body }: PushMessage, atMs: number): Buffer {
  const text = isUtf8(body) ? { body: body.toString('utf8') } : { body_base64: body.toString('base64') };
  return Buffer.from(JSON.stringify({ id, at_ms: atMs, ...text }));
}

/** What a digest has around its items, at most. */
function shellBytes(key: string): number {
  const at = Number.MAX_SAFE_INTEGER;
  return Buffer.byteLength(
    JSON.stringify({ group: key, count: at, first_at_ms: at, last_at_ms: at, items: [] }),
  );
}

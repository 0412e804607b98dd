import type { PushRequest__Output } from '@halley/cluster/grpc/gen/halley/push/v1/PushRequest';
import { HalleyError } from '@halley/protocol/error';
import type { MessageId } from '@halley/protocol/ids';
import { v7 as uuidv7 } from 'uuid';

import type { Durability } from './durability.js';
import {
  invalid,
  type PushGroup,
  type PushLimits,
  type PushMessage,
  readTarget,
  type Target,
} from './target.js';

/** Characters of a message id. */
export const MAX_ID_LENGTH = 128;
/** Characters of a collapse key, and of a group's. */
export const MAX_LABEL_LENGTH = 128;
/** Pushes of one digest. */
export const MAX_GROUP_COUNT = 1_000;

/**
 * Checks a push of the API. Throws `invalid_argument` or `body_too_large` with the path of the field that is wrong, put
 * behind `prefix` (as `requests[2].`): `requests[2].target.users.mids[3]: …`.
 */
export function readPush(
  request: PushRequest__Output | null | undefined,
  limits: PushLimits,
  nowMs: number,
  prefix = '',
): PushMessage {
  if (!request) throw invalid(prefix.replace(/\.$/, ''), 'is missing');
  const target = readTarget(request.target, limits, `${prefix}target`);
  if (request.operation === 0 && (target.kind === 'room' || target.kind === 'everyone')) {
    throw invalid(`${prefix}operation`, 'must not be 0 for a room or everyone');
  }
  if (request.body.length > limits.maxBodyBytes) {
    throw new HalleyError(
      'body_too_large',
      `${prefix}body: ${request.body.length} bytes, more than ${limits.maxBodyBytes}`,
    );
  }
  checkLength(request.id, MAX_ID_LENGTH, `${prefix}id`);
  const durable = isDurable(request.class, target, limits.durability, `${prefix}class`);
  const deliverAtMs = readDeliverAt(request, limits.maxDelayMs, nowMs, prefix);
  const group = readGroup(request, limits.maxDelayMs, prefix);
  return {
    id: (request.id || uuidv7()) as MessageId,
    ...(request.id !== '' && { idGiven: true }),
    target,
    operation: request.operation,
    body: request.body,
    durable,
    expireAtMs: readExpireAt(request, deliverAtMs ?? nowMs + (group?.windowMs ?? 0), nowMs, prefix),
    ...readKept(request, durable, prefix),
    ...(isBulk(request.priority, `${prefix}priority`) && { bulk: true }),
    ...(deliverAtMs !== undefined && { deliverAtMs }),
    ...(group && { group }),
  };
}

/** When it is to be delivered; undefined is at once. */
function readDeliverAt(
  { deliver_at_ms, delay_ms }: PushRequest__Output,
  maxDelayMs: number,
  nowMs: number,
  prefix: string,
): number | undefined {
  const at = notNegative(deliver_at_ms, `${prefix}deliver_at_ms`);
  const delay = notNegative(delay_ms, `${prefix}delay_ms`);
  if (at > 0 && delay > 0)
    throw invalid(`${prefix}delay_ms`, 'at most one of delay_ms and deliver_at_ms is to be set');
  const [field, ahead] = at > 0 ? ['deliver_at_ms', at - nowMs] : ['delay_ms', delay];
  if (ahead > maxDelayMs) {
    throw invalid(`${prefix}${field}`, `${ahead} ms ahead, more than push.maxDelayMs (${maxDelayMs})`);
  }
  return ahead > 0 ? nowMs + ahead : undefined;
}

function readExpireAt(
  { expire_at_ms }: PushRequest__Output,
  dueMs: number,
  nowMs: number,
  prefix: string,
): number {
  const path = `${prefix}expire_at_ms`;
  const expireAtMs = notNegative(expire_at_ms, path);
  if (expireAtMs > 0 && expireAtMs <= nowMs) {
    throw invalid(path, 'has passed: Unix milliseconds in the future, or 0 for never');
  }
  if (expireAtMs > 0 && expireAtMs <= dueMs) {
    throw invalid(path, 'is not after the time of delivery: nobody would ever be shown it');
  }
  return expireAtMs;
}

/** What concerns a stream, which only what is durable has. */
function readKept(
  { collapse_key, retention_ms }: PushRequest__Output,
  durable: boolean,
  prefix: string,
): Pick<PushMessage, 'collapseKey' | 'retentionMs'> {
  checkLength(collapse_key, MAX_LABEL_LENGTH, `${prefix}collapse_key`);
  const retentionMs = notNegative(retention_ms, `${prefix}retention_ms`);
  if (!durable && collapse_key !== '') throw invalid(`${prefix}collapse_key`, NOTHING_KEPT);
  if (!durable && retentionMs > 0) throw invalid(`${prefix}retention_ms`, NOTHING_KEPT);
  return {
    ...(collapse_key !== '' && { collapseKey: collapse_key }),
    ...(retentionMs > 0 && { retentionMs }),
  };
}

const NOTHING_KEPT = 'the push is ephemeral, so nothing of it is kept; class durable, or leave this out';

function readGroup(request: PushRequest__Output, maxDelayMs: number, prefix: string): PushGroup | undefined {
  const { group } = request;
  if (!group) return undefined;
  const path = `${prefix}group`;
  for (const field of ['deliver_at_ms', 'delay_ms'] as const) {
    if (Number(request[field]) > 0) {
      throw invalid(
        `${prefix}${field}`,
        'a push of a group is delivered with its group, after group.window_ms',
      );
    }
  }
  if (request.collapse_key !== '') {
    throw invalid(`${prefix}collapse_key`, 'goes without a group, which is delivered as one already');
  }
  if (group.key === '') throw invalid(`${path}.key`, 'is empty');
  checkLength(group.key, MAX_LABEL_LENGTH, `${path}.key`);
  const windowMs = Number(group.window_ms);
  if (windowMs < 1) throw invalid(`${path}.window_ms`, 'must be at least 1');
  if (windowMs > maxDelayMs) {
    throw invalid(`${path}.window_ms`, `${windowMs}, more than push.maxDelayMs (${maxDelayMs})`);
  }
  const { max_count } = group;
  if (max_count < 0 || max_count > MAX_GROUP_COUNT) {
    throw invalid(`${path}.max_count`, `must be 1 to ${MAX_GROUP_COUNT}, or 0 for ${MAX_GROUP_COUNT}`);
  }
  return { key: group.key, windowMs, maxCount: max_count || MAX_GROUP_COUNT };
}

function isBulk(value: PushRequest__Output['priority'], path: string): boolean {
  switch (value) {
    case 'PRIORITY_UNSPECIFIED':
    case 'PRIORITY_NORMAL':
      return false;
    case 'PRIORITY_BULK':
      return true;
    default:
      throw invalid(path, `${String(value)} is no priority`);
  }
}

function isDurable(
  value: PushRequest__Output['class'],
  target: Target,
  durability: Durability,
  path: string,
): boolean {
  switch (value) {
    case 'DELIVERY_CLASS_UNSPECIFIED':
      return durability.isDefault(target);
    case 'DELIVERY_CLASS_DURABLE': {
      const refusal = durability.refusal(target);
      if (refusal !== undefined) throw invalid(path, refusal);
      return true;
    }
    case 'DELIVERY_CLASS_EPHEMERAL':
      return false;
    default:
      throw invalid(path, `${String(value)} is no delivery class`);
  }
}

function notNegative(value: string, path: string): number {
  const number = Number(value);
  if (number < 0) throw invalid(path, 'must not be negative');
  return number;
}

function checkLength(text: string, max: number, path: string): void {
  if (text.length > max) throw invalid(path, `${text.length} characters, more than ${max}`);
}

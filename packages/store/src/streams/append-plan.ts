import { hash } from 'node:crypto';

import type { ConnectionKey } from '@halley/protocol/ids';
import { HalleyError } from '@halley/protocol/error';

import { collapseIdOf } from './collapse.js';
import { encodeContent, maxContentBytes } from './entry-codec.js';
import type { AppendBatch, AppendPush, AppendTarget } from './streams.js';

/** A push as both adapters store it. */
export interface PlannedPush {
  readonly push: AppendPush;
  /** Stands for (caller, id); empty when the push has no id. */
  readonly idKey: string;
  /** Whether every entry carries the content, or the shard has it once. */
  readonly inline: boolean;
  /** Each stream once. */
  readonly targets: readonly AppendTarget[];
}

/** Plans a batch. Throws `internal` on positions that do not grow or do not lie in (before, through]. */
export function planAppend({ before, through, pushes }: AppendBatch, inlineBytes: number): PlannedPush[] {
  let last = before;
  return pushes.map((push) => {
    if (push.position <= last || push.position > through)
      throw new HalleyError('internal', 'The positions of a batch do not grow, or are not within it.');
    last = push.position;
    const targets = merged(push.targets);
    const inline = targets.length <= 1 || isSmall(push, inlineBytes);
    return { push, idKey: idKeyOf(push.caller, push.id), inline, targets };
  });
}

/** Of {@link collapseIdOf}, of one target of a push; empty is none. */
export function collapseIdIn(push: AppendPush, { keys }: AppendTarget): string {
  if (!push.collapseKey) return '';
  return collapseIdOf({ operation: push.operation, collapseKey: push.collapseKey, keys }) ?? '';
}

function isSmall(push: AppendPush, inlineBytes: number): boolean {
  return maxContentBytes(push) <= inlineBytes || encodeContent(push).byteLength <= inlineBytes;
}

/** One target for each stream, in the order in which they came first. */
function merged(targets: readonly AppendTarget[]): readonly AppendTarget[] {
  if (targets.length <= 1) return targets;
  const byStream = new Map<string, readonly ConnectionKey[]>();
  for (const { stream, keys } of targets) {
    const known = byStream.get(stream);
    const everyDevice = known?.length === 0 || keys.length === 0;
    byStream.set(stream, everyDevice ? [] : known ? [...new Set([...known, ...keys])] : keys);
  }
  return [...byStream].map(([stream, keys]) => ({ stream, keys }));
}

/** What stands for an id of a caller: 128 bits of a hash, as ids are of any length, and are kept for a day. */
export function idKeyOf(caller: string, id: string): string {
  if (id === '') return '';
  const text = hash('sha256', `${Buffer.byteLength(caller)}:${caller}${id}`, 'base64url');
  // The first 16 bytes as base64url: of the last of its digits two bits count.
  return text.slice(0, DIGITS) + LAST_DIGITS[BASE64URL.indexOf(text[DIGITS]!) >> 4]!;
}

const BASE64URL = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
const DIGITS = 21;
const LAST_DIGITS = 'AQgw';

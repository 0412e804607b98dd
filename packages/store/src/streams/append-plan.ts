import { hash } from 'node:crypto';

import type { ConnectionKey } from '@halley/protocol/ids';
import { HalleyError } from '@halley/protocol/error';

import { collapseIdOf } from './collapse.js';
import { encodeContent, encodeOwn } from './entry-codec.js';
import type { AppendBatch, AppendTarget, Position } from './streams.js';

/** A push as both adapters store it. */
export interface PlannedPush {
  readonly position: Position;
  readonly id: string;
  /** Stands for (caller, id); empty when the push has no id. */
  readonly idKey: string;
  readonly digest: string;
  readonly acceptedAtMs: number;
  readonly content: Buffer;
  /** Whether every entry carries the content, or the shard has it once. */
  readonly inline: boolean;
  readonly targets: readonly {
    readonly stream: string;
    readonly own: Buffer;
    /** Of {@link collapseIdOf}; empty is none. */
    readonly collapseId: string;
  }[];
}

/** Encodes a batch. Throws `internal` on positions that do not grow or do not lie in (before, through]. */
export function planAppend(batch: AppendBatch, inlineBytes: number): PlannedPush[] {
  let last = batch.before;
  return batch.pushes.map((push) => {
    if (push.position <= last || push.position > batch.through)
      throw new HalleyError('internal', 'The positions of a batch do not grow, or are not within it.');
    last = push.position;
    const targets = merged(push.targets);
    const content = encodeContent(push);
    const inline = targets.length <= 1 || content.byteLength <= inlineBytes;
    return {
      position: push.position,
      id: push.id,
      idKey: idKeyOf(push.caller, push.id),
      digest: push.digest,
      acceptedAtMs: push.acceptedAtMs,
      content,
      inline,
      targets: targets.map(({ stream, keys }) => ({
        stream,
        own: encodeOwn(keys, inline),
        collapseId: push.collapseKey ? (collapseIdOf({ ...push, keys }) ?? '') : '',
      })),
    };
  });
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

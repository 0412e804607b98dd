import { describe, expect, test } from '@jest/globals';
import type { UserId } from '@halley/protocol/ids';
import { shardOf, streamOf } from '@halley/store/shard';
import type { AppendAnswer } from '@halley/store/streams/streams';

import { durablePushesOf, fatesOf } from './append-batch.js';
import { nextChunk } from './chunk.js';
import { recordCodec } from './push-record.js';

const SHARDS = 4;
const inPartition = (mid: number) => shardOf(streamOf.user(String(mid) as UserId), SHARDS) === 1;
const [one, two] = Array.from({ length: 100 }, (_, mid) => mid + 1)
  .filter(inPartition)
  .map(String) as [string, string];

/** A chunk of one record with these pushes, at offset 0. */
const chunkOf = (...pushes: object[]) => {
  const value = recordCodec.encode({ pushes });
  const read = { offset: 0, key: undefined, value, headers: {}, timestampMs: 1 };
  return nextChunk([read], { partition: 1, shards: SHARDS });
};
type AppendedAnswer = Extract<AppendAnswer, { outcome: 'appended' }>;
const answer = (fields: Partial<AppendedAnswer>): AppendedAnswer => ({
  outcome: 'appended',
  applied: 1_023,
  entries: [],
  repeated: [],
  known: [],
  ...fields,
});

describe('what the streams are given', () => {
  test('is what is durable, with its body once and its streams', () => {
    const pushes = durablePushesOf(
      chunkOf(
        { rooms: ['live://1'], id: 'r' },
        {
          id: 'i',
          users: [one],
          keys: ['k'],
          key_owners: [two],
          operation: 7,
          body: Buffer.from('text'),
          accepted_at_ms: 5,
          expire_at_ms: 6,
          traceparent: 't',
          caller: 'c',
        },
      ),
    );
    expect(pushes).toEqual([
      {
        position: 1,
        id: 'i',
        digest: expect.stringMatching(/^[\w-]{22}$/),
        operation: 7,
        body: Buffer.from('text'),
        acceptedAtMs: 5,
        expireAtMs: 6,
        traceparent: 't',
        caller: 'c',
        targets: [
          { to: { kind: 'user', mid: one }, stream: `u/${one}`, keys: [] },
          { to: { kind: 'user', mid: two }, stream: `u/${two}`, keys: ['k'] },
        ],
      },
    ]);
  });

  test('says how it is kept, and that tells pushes under one id apart', () => {
    const given = (fields: object) => durablePushesOf(chunkOf({ id: 'i', users: [one], ...fields }))[0]!;
    expect(given({ collapse_key: 'k', retention_ms: 5 })).toMatchObject({ collapseKey: 'k', retentionMs: 5 });
    const plain = given({});
    expect('collapseKey' in plain || 'retentionMs' in plain).toBe(false);
    const kept = [{}, { collapse_key: 'k' }, { collapse_key: 'l' }, { retention_ms: 5 }, { retention_ms: 6 }];
    expect(new Set(kept.map((fields) => given(fields).digest)).size).toBe(kept.length);
  });

  test('a repetition has the same digest whenever it was accepted, another content has another', () => {
    const digest = (fields: object) =>
      durablePushesOf(chunkOf({ id: 'i', users: [one], ...fields }))[0]!.digest;
    const first = digest({ accepted_at_ms: 1, expire_at_ms: 10, traceparent: 'a' });
    expect(digest({ accepted_at_ms: 2, expire_at_ms: 20, traceparent: 'b' })).toBe(first);
    const others = [
      { body: Buffer.from('x') },
      { operation: 2 },
      { users: [two] },
      { rooms: ['a'] },
      { everyone: true },
    ].map(digest);
    expect(new Set([first, ...others]).size).toBe(6);
    expect(digest({ id: '' })).toBe('');
  });
});

describe('what became of durable pushes', () => {
  const both = { users: [one, two] };

  test('an entry is hinted to its streams, each with what stands before it', () => {
    const entries = [
      { stream: `u/${one}`, position: 0, prev: -1 },
      { stream: `u/${two}`, position: 0, prev: -5 },
      { stream: `u/${one}`, position: 2, prev: 0 },
    ];
    const chunk = chunkOf(both, { rooms: ['live://1'] }, { keys: ['k'], key_owners: [one] });
    const fates = fatesOf(chunk, answer({ entries }));
    expect([...fates]).toEqual([
      [
        0,
        {
          kind: 'entry',
          hints: [
            { to: { kind: 'user', mid: one }, stream: `u/${one}`, keys: [], prev: -1 },
            { to: { kind: 'user', mid: two }, stream: `u/${two}`, keys: [], prev: -5 },
          ],
        },
      ],
      [
        2,
        {
          kind: 'entry',
          hints: [{ to: { kind: 'user', mid: one }, stream: `u/${one}`, keys: ['k'], prev: 0 }],
        },
      ],
    ]);
  });

  test('of what was taken in before, the last of each stream says that it is to be read, to all devices', () => {
    const only = { keys: ['k'], key_owners: [one] };
    const entries = [{ stream: `u/${one}`, position: 3, prev: 2 }];
    const fates = fatesOf(chunkOf(both, both, only, only), answer({ entries }));
    expect([...fates]).toEqual([
      [
        3,
        {
          kind: 'entry',
          hints: [{ to: { kind: 'user', mid: one }, stream: `u/${one}`, keys: ['k'], prev: 2 }],
        },
      ],
      [0, { kind: 'known', hints: [] }],
      [
        1,
        { kind: 'known', hints: [{ to: { kind: 'user', mid: two }, stream: `u/${two}`, keys: [], prev: 1 }] },
      ],
      [
        2,
        { kind: 'known', hints: [{ to: { kind: 'user', mid: one }, stream: `u/${one}`, keys: [], prev: 2 }] },
      ],
    ]);
  });

  test('what was taken in under its id before is neither', () => {
    const repeated = [{ position: 0, id: 'i', conflict: false }];
    expect([...fatesOf(chunkOf(both), answer({ repeated }))]).toEqual([[0, { kind: 'repeated' }]]);
  });
});

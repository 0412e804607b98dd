import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

import { eventCodec } from '@halley/cluster/grpc/event-codec';
import type { Event } from '@halley/cluster/grpc/gen/halley/push/v1/Event';
import { codec, protos } from '@halley/cluster/grpc/protos';
import { type ReadRecord, Topic } from '@halley/store/bus/bus';
import { EVENT_KINDS } from '@halley/store/events/config';
import { describe, expect, test } from '@jest/globals';

import { WEBHOOK_KINDS } from './config.js';
import { eventOf } from './payload.js';

/** A webhook's body as docs/hooks.md shows it. */
interface Example {
  readonly id: string;
  readonly type: (typeof WEBHOOK_KINDS)[number];
  readonly timestamp: string;
  readonly data: Readonly<Record<string, unknown>> & { readonly mid: string; readonly key?: string };
}

const page = readFileSync(fileURLToPath(new URL('../../../../docs/hooks.md', import.meta.url)), 'utf8');
const examples = [...page.matchAll(/^```json\n([^]*?)^```$/gm)].map(
  ([, json = '']) => JSON.parse(json) as Example,
);

const record = (value: Uint8Array): ReadRecord => ({
  offset: 1,
  key: '',
  value,
  headers: {},
  timestampMs: 0,
});
const read = (topic: string, value: Uint8Array) => eventOf(topic, record(value));
const bytesOf = (fields: Readonly<Record<string, unknown>>) =>
  'body' in fields ? { ...fields, body: Buffer.from(String(fields['body']), 'base64') } : fields;

describe('what the page shows is what is sent', () => {
  test('one of each kind', () => {
    expect(examples.map(({ type }) => type)).toEqual([...WEBHOOK_KINDS]);
  });

  test.each(examples.filter(({ type }) => type !== 'upstream'))('$type', (example) => {
    const { id, type, timestamp, data } = example;
    const { mid, key, ...fields } = data;
    const event: Event = { id, at_ms: Date.parse(timestamp), mid, key: key ?? '', [type]: bytesOf(fields) };
    const read = eventOf(Topic.Events, record(eventCodec.encode(event)));
    expect(read).toMatchObject({ id, kind: type, lane: mid });
    expect(JSON.parse(read!.body())).toEqual(example);
  });

  test('upstream', () => {
    const example = examples.find(({ type }) => type === 'upstream')!;
    const { mid, key, comet, room, operation, body } = example.data;
    const value = codec(protos.halley.push.v1.Upstream).encode({
      id: example.id,
      mid,
      key: key ?? '',
      server: String(comet),
      room_id: String(room),
      proto: { ver: 1, op: Number(operation), seq: 0, body: Buffer.from(String(body), 'base64') },
      received_at_ms: Date.parse(example.timestamp),
    });
    const read = eventOf(Topic.Receive, record(value));
    expect(read).toMatchObject({ id: example.id, kind: 'upstream', lane: mid });
    expect(JSON.parse(read!.body())).toEqual(example);
  });
});

test('what is no event, or of a kind that is not known, is none', () => {
  expect(read(Topic.Events, Buffer.from([255, 255]))).toBeUndefined();
  expect(read(Topic.Events, eventCodec.encode({ id: 'x', mid: 1 }))).toBeUndefined();
  expect(read(Topic.Events, eventCodec.encode({ connected: {} }))).toBeUndefined();
  expect(EVENT_KINDS.every((kind) => read(Topic.Events, eventCodec.encode({ id: 'x', [kind]: {} })))).toBe(
    true,
  );
});

test('anonymous connections are apart; an id that cannot stand in a header is another; a time that is none is told', () => {
  const event = read(
    Topic.Events,
    eventCodec.encode({ id: 'a.b\n', key: 'k', at_ms: '9223372036854775807', read: {} }),
  );
  expect(event).toMatchObject({ id: expect.stringMatching(/^id-[\w-]{22}$/), lane: 'k/k' });
  expect(JSON.parse(event!.body())).toMatchObject({ id: 'a.b\n', timestamp: '+275760-09-13T00:00:00.000Z' });
});

import { codec, protos } from '@halley/cluster/grpc/protos';
import { expect, test } from '@jest/globals';

import { encodeRecord, RecordEncoder, type OwnFields } from './record-encoder.js';

const records = codec(protos.halley.delivery.v1.Record);
const CALL = { accepted_at_ms: 1_900_000_000_000, traceparent: '00-a-b-01', caller: 'shop' };

const plain = { id: 'a', operation: 1_000, body: Buffer.from('hello'), class: 1, expire_at_ms: 0 };
const pushes: OwnFields[] = [
  { ...plain, users: [0, 1, 127, 128, 16_384, 2 ** 31, 999_999_999_999_999] },
  { ...plain, id: 'ü'.repeat(100), class: 2, rooms: ['live://1'], expire_at_ms: 1_900_000_000_001 },
  { ...plain, operation: 0, body: Buffer.alloc(0), everyone: true, speed: 300 },
  { ...plain, body: Buffer.alloc(20_000, 7), rooms: ['chat://日本'] },
  { ...plain, operation: -5, users: [1] },
  { ...plain, users: ['-9223372036854775808', 5, '9223372036854775807'] },
  { ...plain, users: [-1] },
  { ...plain, speed: -1, everyone: true },
  { ...plain, keys: ['k'], collapse_key: 'c', retention_ms: 5 },
  { ...plain, users: [1], control: true, sender: { mid: '1', key: 'k', client_id: 'c', to_mid: '0' } },
];

test('what is encoded reads as what the encoder of the message type wrote', () => {
  const encoder = new RecordEncoder(CALL);
  const expected = (own: readonly OwnFields[]) =>
    records.decode(encodeRecord({ pushes: own.map((push) => ({ ...CALL, ...push })) as never }));
  expect(records.decode(encoder.encode(pushes))).toEqual(expected(pushes));
  for (const push of pushes) expect(records.decode(encoder.encode([push]))).toEqual(expected([push]));
});

test('records stand behind each other as one', () => {
  const encoder = new RecordEncoder(CALL);
  const joined = Buffer.concat(pushes.map((push) => encoder.encode([push])));
  expect(records.decode(joined)).toEqual(records.decode(encoder.encode(pushes)));
});

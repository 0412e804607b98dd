import type { TraceReply__Output } from '@halley/cluster/grpc/gen/halley/push/v1/TraceReply';
import { expect, test } from '@jest/globals';

import { traceJson, traceLines } from './trace-text.js';

const nothing: TraceReply__Output = {
  id: 'order-77',
  caller: '',
  state: 'TRACE_STATE_UNSPECIFIED',
  accepted_at_ms: '0',
  expire_at_ms: '0',
  class: 'DELIVERY_CLASS_UNSPECIFIED',
  operation: 0,
  body_bytes: 0,
  from_mid: '0',
  from_key: '',
  schedule: null,
  streams: 0,
  appended: [],
  counts: null,
  devices: [],
  next: '',
  exceptions: [],
  more_exceptions: 0,
  lost_reports: '0',
  notes: [],
};
const at = (ms: number): string => String(new Date(2030, 0, 2, 3, 4, 5, ms).getTime());

const delivered: TraceReply__Output = {
  ...nothing,
  caller: 'shop',
  state: 'TRACE_STATE_WAITING',
  accepted_at_ms: at(7),
  class: 'DELIVERY_CLASS_DURABLE',
  operation: 1000,
  body_bytes: 16,
  streams: 1,
  appended: [{ stream: 'u/1', epoch: 'e', position: '52224', archived: true, keys: [], read: false }],
  counts: {
    waiting: 1,
    sending: 0,
    sent: 0,
    acknowledged: 1,
    other_devices: 0,
    not_accepted: 0,
    expired: 0,
    dropped: 0,
    earlier: 0,
    unknown: 0,
  },
  devices: [
    {
      stream: 'u/1',
      mid: '1',
      key: 'phone',
      state: 'DEVICE_STATE_ACKNOWLEDGED',
      connected: true,
      node: 'comet-1',
      transport: 'websocket',
      version: 2,
      connected_at_ms: at(0),
      sent_position: '52224',
      acknowledged_position: '52224',
      by: 'ack',
      last_seen_ms: '0',
    },
    {
      stream: 'u/1',
      mid: '1',
      key: 'tablet',
      state: 'DEVICE_STATE_WAITING',
      connected: false,
      node: '',
      transport: '',
      version: 0,
      connected_at_ms: '0',
      sent_position: '-1',
      acknowledged_position: '-1',
      by: 'heartbeat',
      last_seen_ms: at(1),
    },
  ],
  exceptions: [
    {
      kind: 'refused',
      reason: 'overloaded',
      tier: 'logic',
      node: 'logic-1',
      at_ms: at(1),
      last_at_ms: at(1),
      stream: '',
      keys: [],
      count: '2',
    },
  ],
  notes: ['comet-2 did not answer.'],
};

test('a trace is a line for the whole, a timeline, and a line for each device', () => {
  expect(traceLines(delivered)).toEqual([
    'order-77  waiting: some of its devices do not have it yet, or none is known',
    'pushed by shop · operation 1000 · 16 bytes · u/1',
    '',
    '2030-01-02 03:04:05.001  refused (overloaded) 2 times by logic logic-1',
    '2030-01-02 03:04:05.007  accepted',
    'in u/1 at 52224, archived, unread',
    '',
    'DEVICE  OF   STATE         WHERE                        SINCE                    HAS UP TO',
    'phone   u/1  acknowledged  comet-1 websocket version 2  2030-01-02 03:04:05.000  52224 by ack',
    'tablet  u/1  waiting       away                         2030-01-02 03:04:05.001  nothing by heartbeat',
    'Devices: 1 waiting, 1 acknowledged.',
    'comet-2 did not answer.',
  ]);
});

test('of a push of which nothing is known it says what that can mean', () => {
  const [first, ...lines] = traceLines(nothing);
  expect(first).toBe('order-77  unknown: nothing is known of it');
  expect(lines.join(' ')).toContain('not kept (class ephemeral)');
});

test('a scheduled push tells when it is due, and one of a group what to ask for', () => {
  const schedule = {
    state: 'waiting',
    deliver_at_ms: at(900),
    fired_at_ms: '0',
    ended_at_ms: '0',
    digest_id: 'digest-1',
    members: 0,
    recurring: '',
  };
  expect(traceLines({ ...nothing, state: 'TRACE_STATE_SCHEDULED', schedule })).toEqual([
    'order-77  scheduled: it waits for its time',
    '',
    '2030-01-02 03:04:05.900  due',
    'It is delivered with others: halley trace digest-1',
  ]);
});

test('JSON has words and numbers', () => {
  expect(traceJson(delivered)).toMatchObject({
    state: 'waiting',
    class: 'durable',
    accepted_at_ms: Number(at(7)),
    appended: [{ position: 52_224 }],
    devices: [{ state: 'acknowledged', acknowledged_position: 52_224 }, { state: 'waiting' }],
    exceptions: [{ count: 2 }],
    lost_reports: 0,
  });
});

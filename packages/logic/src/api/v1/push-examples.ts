import type { Example } from './route.js';

const USERS = { users: { mids: ['1', '2'] } };
const ONE = { users: { mids: ['1'] } };

/** An example for each option of a push. */
export const pushExamples: Readonly<Record<string, Example>> = {
  users: { summary: 'To two users', value: { target: USERS, operation: 1000, body: 'hello, users' } },
  room: {
    summary: 'To a room',
    value: { target: { room: 'live://1000' }, operation: 1000, body: 'hello, room' },
  },
  keys: {
    summary: 'To one connection',
    value: { target: { keys: { keys: ['phone-1'] } }, operation: 1000, body: 'hello, phone' },
  },
  everyone: {
    summary: 'To everyone, 500 connections a second',
    value: { target: { everyone: { speed: 500 } }, operation: 1000, body: 'hello, all' },
  },
  bytes: {
    summary: 'Bytes that are no text',
    value: { target: ONE, operation: 1000, body_base64: 'AAEC/w==' },
  },
  id: {
    summary: 'With an id, so that a repeat is dropped',
    value: { target: ONE, operation: 1000, body: 'order 77 is paid', id: 'order-77' },
  },
  class: {
    summary: 'For who is connected now alone',
    value: { target: ONE, operation: 1000, body: 'typing…', class: 'ephemeral' },
  },
  delay_ms: {
    summary: 'In fifteen minutes',
    value: { target: ONE, operation: 1000, body: 'your table is ready', delay_ms: 900_000 },
  },
  deliver_at_ms: {
    summary: 'At a time',
    value: { target: ONE, operation: 1000, body: 'happy new year', deliver_at_ms: 1_798_758_000_000 },
  },
  expire_at_ms: {
    summary: 'Of no use after a time',
    value: { target: ONE, operation: 1000, body: 'the sale ends at noon', expire_at_ms: 1_924_992_000_000 },
  },
  collapse_key: {
    summary: 'Only the newest for who catches up',
    value: { target: ONE, operation: 1000, body: '2:1', collapse_key: 'score' },
  },
  retention_ms: {
    summary: 'Kept for an hour at most',
    value: { target: ONE, operation: 1000, body: 'your code is 123456', retention_ms: 3_600_000 },
  },
  priority: {
    summary: 'Behind other pushes',
    value: { target: USERS, operation: 1000, body: 'our newsletter', priority: 'bulk' },
  },
  group: {
    summary: 'As one digest with others, after ten seconds or 100 pushes',
    value: {
      target: ONE,
      operation: 1000,
      body: 'Ada likes your post',
      group: { key: 'likes-of-post-7', window_ms: 10_000, max_count: 100 },
    },
  },
};

export const batchExamples: Readonly<Record<string, Example>> = {
  two: {
    summary: 'Two pushes, each with an id',
    value: {
      requests: [
        { target: ONE, operation: 1000, body: 'one', id: 'batch-1' },
        { target: { room: 'live://1000' }, operation: 1000, body: 'two', id: 'batch-2' },
      ],
    },
  },
};

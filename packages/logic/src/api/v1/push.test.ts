import { call } from '@halley/cluster/grpc/client';
import { HalleyError } from '@halley/protocol/error';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';

import { FakeBus } from '../../testing/fake-bus.js';
import { type LogicFixture, startLogic } from '../../testing/logic-fixture.js';

let bus: FakeBus;
let logic: LogicFixture;
beforeAll(async () => {
  bus = new FakeBus();
  logic = await startLogic(bus);
});
beforeEach(() => void bus.calls.splice(0));
afterEach(() => {
  bus.answer = () => 'ok';
});
afterAll(() => logic.stop());

const USER = { users: { mids: ['1'] } };
const post = async (path: string, body: unknown, headers: Record<string, string> = {}) => {
  const response = await fetch(`${logic.http}${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: typeof body === 'string' || body instanceof Uint8Array ? body : JSON.stringify(body),
  });
  const told = (await response.json()) as Record<string, unknown>;
  return { status: response.status, headers: response.headers, told };
};
const push = (fields: object, headers?: Record<string, string>) =>
  post('/v1/push', { target: USER, operation: 1000, body: 'hello', ...fields }, headers);

describe('a push', () => {
  test('is taken as gRPC takes it, with all its options', async () => {
    const options = { class: 'durable', collapse_key: 'score', retention_ms: 60_000, priority: 'bulk' };
    const reply = await push({ id: 'mine', ...options, expire_at_ms: '1900000000000' });
    expect(reply).toMatchObject({ status: 200, told: { id: 'mine', deliver_at_ms: 0, duplicate: false } });
    expect(bus.pushes()).toMatchObject([
      {
        id: 'mine',
        operation: 1000,
        body: Buffer.from('hello'),
        users: ['1'],
        class: 'CLASS_DURABLE',
        expire_at_ms: '1900000000000',
        collapse_key: 'score',
        retention_ms: '60000',
      },
    ]);
  });

  test('has a fresh id and an empty body where nothing is said', async () => {
    const { told } = await post('/v1/push', { target: { room: 'live://1' }, operation: 5 });
    expect(told['id']).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7/);
    expect(bus.pushes()).toMatchObject([{ rooms: ['live://1'], body: Buffer.alloc(0) }]);
  });

  test('takes 64-bit ids as text, and as numbers where JSON keeps them', async () => {
    await push({ target: { users: { mids: ['9223372036854775807', 7, '+08'] } } });
    expect(new Set(bus.pushes().flatMap(({ users }) => users))).toEqual(
      new Set(['9223372036854775807', '7', '8']),
    );
    const rounded = await post(
      '/v1/push',
      '{"target":{"users":{"mids":[9223372036854775807]}},"operation":1}',
    );
    expect(rounded.told['detail']).toContain('target.users.mids[0]: is no 64-bit integer');
  });

  test('has a body as text or in base64', async () => {
    await push({ body: 'grüß dich 👋' });
    await push({ body: undefined, body_base64: 'AAEC/w==' });
    expect(bus.pushes().map(({ body }) => body)).toEqual([
      Buffer.from('grüß dich 👋'),
      Buffer.from([0, 1, 2, 255]),
    ]);
  });

  test('says when it will be delivered, over gRPC too', async () => {
    const before = Date.now();
    const { told } = await push({ delay_ms: 60_000 });
    expect(Number(told['deliver_at_ms'])).toBeGreaterThanOrEqual(before + 60_000);
    const reply = await call(logic.push.Push.bind(logic.push), {
      target: USER,
      operation: 1,
      delay_ms: 60_000,
    });
    expect(Number(reply.deliver_at_ms)).toBeGreaterThanOrEqual(before + 60_000);
  });

  test('goes with the trace and within the time of its caller', async () => {
    const traceparent = `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`;
    await push({}, { traceparent, 'Halley-Timeout-Ms': '5000' });
    expect(bus.pushes()).toMatchObject([{ traceparent }]);
    expect(bus.calls[0]?.options?.deadlineMs).toEqual(expect.any(Number));
    expect((await push({}, { 'Halley-Timeout-Ms': 'soon' })).told['detail']).toContain(
      'Halley-Timeout-Ms: "soon"',
    );
  });
});

describe('the header Idempotency-Key', () => {
  test.each(['order-1', '"order-1"'])('names the message: %s', async (key) => {
    expect((await push({}, { 'Idempotency-Key': key })).told['id']).toBe('order-1');
    expect((await push({ id: 'order-1' }, { 'Idempotency-Key': key })).told['id']).toBe('order-1');
  });

  test('is refused when the body says another, when it is empty, and for a batch', async () => {
    const other = await push({ id: 'order-2' }, { 'Idempotency-Key': 'order-1' });
    expect(other.told['detail']).toBe('id: is another than the Idempotency-Key');
    expect((await push({}, { 'Idempotency-Key': '""' })).status).toBe(400);
    expect((await push({}, { 'Idempotency-Key': 'x'.repeat(129) })).told['detail']).toContain(
      'id: 129 characters',
    );
    const batch = await post('/v1/push/batch', { requests: [] }, { 'Idempotency-Key': 'order-1' });
    expect(batch.told['detail']).toContain('Idempotency-Key: is for one push');
  });
});

describe('a batch', () => {
  test('is answered one by one, in order', async () => {
    const requests = [
      { target: USER, operation: 1000, body: 'one', id: 'a' },
      { target: USER, operation: 1000, id: 'b', delay_ms: 'soon' },
      { target: USER, operation: 1000, id: 'c', colour: 'red' },
      { target: { room: 'r' }, operation: 0, id: 'd' },
      7,
    ];
    const { status, told } = await post('/v1/push/batch', { requests });
    expect(status).toBe(200);
    const refused = { outcome: 'refused', code: 'invalid_argument' };
    expect(told['results']).toMatchObject([
      { id: 'a', outcome: 'ok', deliver_at_ms: 0, duplicate: false },
      {
        id: 'b',
        ...refused,
        message: 'requests[1].delay_ms: must be a whole number of milliseconds, 0 or more',
      },
      { id: 'c', ...refused, message: 'requests[2].colour: there is no such field' },
      { id: 'd', ...refused, message: 'requests[3].operation: must not be 0 for a room or everyone' },
      { id: '', ...refused, message: expect.stringContaining('requests[4]: ') },
    ]);
    expect(bus.pushes().map(({ id }) => id)).toEqual(['a']);
  });

  test('says of each whether it is unknown', async () => {
    bus.answer = () => new HalleyError('bus_unknown');
    const { told } = await post('/v1/push/batch', { requests: [{ target: USER, operation: 1000, id: 'a' }] });
    expect(told['results']).toMatchObject([{ id: 'a', outcome: 'unknown', code: 'bus_unknown' }]);
  });
});

describe('a failure is told as problem details', () => {
  test('with outcome and when to repeat', async () => {
    bus.answer = () => new HalleyError('overloaded', undefined, { retryAfterMs: 1_200 });
    const { status, headers, told } = await push({});
    expect(status).toBe(429);
    expect(headers.get('content-type')).toContain('application/problem+json');
    expect(headers.get('retry-after')).toBe('2');
    expect(told).toEqual({
      type: 'urn:halley:error:overloaded',
      title: 'More is being asked than the node can take',
      status: 429,
      detail: 'More is being asked than the node can take. Repeat after the hint.',
      code: 'overloaded',
      outcome: 'refused',
      retry_after_ms: 1_200,
    });
    bus.answer = () => new HalleyError('store_full', undefined, { retryAfterMs: 1_000 });
    expect((await push({})).headers.get('retry-after')).toBe('1');
    bus.answer = () => new HalleyError('bus_unknown');
    expect(await push({})).toMatchObject({ status: 503, told: { code: 'bus_unknown', outcome: 'unknown' } });
  });

  const USER_TEXT = { target: { users: { mids: '1' } } };
  const WRONG: readonly (readonly [string, unknown])[] = [
    ['target: is missing', { operation: 1000 }],
    ['target: exactly one of users, keys, room and everyone is to be set', { target: {}, operation: 1000 }],
    ['target: exactly one of', { target: { room: 'r', ...USER }, operation: 1000 }],
    ['target.users.mids[1]: 0 is anonymous', { target: { users: { mids: [1, 0] } }, operation: 1000 }],
    [
      'target.users.users: there is no such field',
      { target: { users: { mids: [1], users: 1 } }, operation: 1 },
    ],
    ['operation: is missing', { target: USER }],
    ['body_base64: not together with body', { target: USER, operation: 1, body: 'a', body_base64: 'YQ==' }],
    ['body: has half of a surrogate pair', '{"target":{"room":"r"},"operation":1,"body":"\\ud800"}'],
    [
      'delay_ms: must be a whole number of milliseconds, 0 or more',
      { target: USER, operation: 1, delay_ms: -1 },
    ],
    ['delay_ms: at most one of', { target: USER, operation: 1, delay_ms: 1, deliver_at_ms: 1 }],
    ['group.key: is empty', { target: USER, operation: 1, group: { key: '', window_ms: 5 } }],
    ['group.window_ms: is missing', { target: USER, operation: 1, group: { key: 'k' } }],
    [
      'collapse_key: 129 characters, more than 128',
      { target: USER, operation: 1, collapse_key: 'x'.repeat(129) },
    ],
    ['colour: there is no such field', { target: USER, operation: 1, colour: 'red' }],
    ['operation: must be a whole number', { target: USER, operation: 1.5 }],
    ['target.users.mids: must be a list; body: must be text', { ...USER_TEXT, operation: 1, body: 5 }],
    ['class: must be durable or ephemeral', { target: USER, operation: 1, class: 'kept' }],
    ['body: must be an object', '[]'],
    ['body: is empty; it is JSON', ''],
    ['the body is not JSON', '{'],
    ['the body is not JSON', Buffer.from([0x22, 0xff, 0x22])],
  ];
  test.each(WRONG)('%s', async (message, body) => {
    const { status, told } = await post('/v1/push', body);
    expect({ status, told }).toMatchObject({
      status: 400,
      told: { code: 'invalid_argument', outcome: 'refused', detail: expect.stringContaining(message) },
    });
    expect(bus.calls).toEqual([]);
  });

  test('also what is no JSON, too large, or nowhere', async () => {
    expect(await post('/v1/push', 'x', { 'content-type': 'text/plain' })).toMatchObject({
      status: 415,
      told: { status: 415, detail: 'content-type: must be application/json' },
    });
    expect(await post('/v1/push', 'x', { 'content-type': 'no/type/at all' })).toMatchObject({ status: 415 });
    expect(await post('/v1/push', 'x', { 'content-encoding': 'gzip' })).toMatchObject({
      status: 415,
      told: { detail: expect.stringContaining('content-encoding') },
    });
    expect(await post('/v1/push', 'x'.repeat(6_000_000))).toMatchObject({
      status: 413,
      told: { code: 'body_too_large' },
    });
    expect(await post('/v1/nothing', {})).toMatchObject({ status: 404, told: { code: 'not_found' } });
    const get = await fetch(`${logic.http}/v1/push`);
    expect({ status: get.status, allow: get.headers.get('allow') }).toEqual({ status: 405, allow: 'POST' });
    for (const field of ['__proto__', 'constructor', 'colour']) {
      const odd = await fetch(`${logic.http}/v1/nodes?${field}=1`);
      expect(await odd.json()).toMatchObject({ status: 400, detail: expect.stringContaining(field) });
    }
    const state = await fetch(`${logic.http}/v1/schedules?state=constructor`);
    expect(await state.json()).toMatchObject({ status: 400, detail: expect.stringContaining('state[0]') });
    const bad = await fetch(`${logic.http}/v1/%zz`);
    expect(bad.headers.get('content-type')).toContain('application/problem+json');
  });
});

test('no page of another site is let in', async () => {
  const headers = { origin: 'https://elsewhere.example', 'access-control-request-method': 'POST' };
  const preflight = await fetch(`${logic.http}/v1/push`, { method: 'OPTIONS', headers });
  expect(preflight.status).toBe(405);
  expect(preflight.headers.get('access-control-allow-origin')).toBeNull();
});

test('the OpenAPI document is served to everybody', async () => {
  const response = await fetch(`${logic.http}/v1/openapi.json`);
  expect(response.status).toBe(200);
  expect(await response.json()).toMatchObject({ openapi: '3.1.0', paths: { '/v1/push': {} } });
});

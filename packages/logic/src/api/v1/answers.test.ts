import { HalleyError } from '@halley/protocol/error';
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';

import { DocumentedAnswers } from '../../testing/documented.js';
import { FakeBus } from '../../testing/fake-bus.js';
import { type LogicFixture, startLogic } from '../../testing/logic-fixture.js';
import type { V1Route } from './route.js';
import { V1_ROUTES } from './routes.js';

const KEYS = ['{ name: shop, key: all }', '{ name: listener, key: other, scopes: [upstream] }'];
let bus: FakeBus;
let logic: LogicFixture;
const undo: (() => void)[] = [];
beforeAll(async () => {
  bus = new FakeBus();
  logic = await startLogic(bus, [
    '--api.keys',
    `[${KEYS.join(', ')}]`,
    '--push.maxInFlight',
    '1',
    '--push.maxBodyBytes',
    '1000',
  ]);
});
afterEach(() => {
  for (const one of undo.splice(0)) one();
  bus.answer = () => 'ok';
});
afterAll(() => logic.stop());

interface Call {
  readonly path?: string;
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
  /** Sets the server up. */
  readonly when?: (() => unknown) | undefined;
}

const push = (fields: object = {}) => ({
  target: { users: { mids: [1] } },
  operation: 1000,
  body: 'hi',
  ...fields,
});
const routeOf = (id: string): V1Route => V1_ROUTES.find((route) => route.id === id)!;

async function send(
  id: string,
  { path, body, headers }: Call,
): Promise<{ response: Response; told: unknown }> {
  const { method, path: template } = routeOf(id);
  const response = await fetch(`${logic.http}${path ?? template}`, {
    method,
    headers: { authorization: 'Bearer all', 'content-type': 'application/json', ...headers },
    ...(body !== undefined && { body: typeof body === 'string' ? body : JSON.stringify(body) }),
  });
  return { response, told: await response.json() };
}

/** Replaces a method until the end of the test. */
function replace<Of extends object>(object: Of, name: keyof Of, value: unknown): void {
  const before = object[name];
  Object.assign(object, { [name]: value });
  undo.push(() => Object.assign(object, { [name]: before }));
}
const broken = () => Promise.reject(new Error('a bug'));
const away = () => Promise.reject(new HalleyError('store_unavailable'));
const slow = () => new Promise((resolve) => setTimeout(resolve, 10, new Map()));

/** A push that is on its way, so that there is no room for another. */
const busy = async () => {
  bus.answer = undefined;
  const before = bus.calls.length;
  const pending = send('push', { body: push() });
  while (bus.calls.length === before) await new Promise(setImmediate);
  undo.push(
    () => bus.calls.at(-1)?.resolve(),
    () => void pending,
  );
};

/** A dead letter, the first of which has the id 1. */
const letter = () =>
  logic.stores.dead.add('1', [
    {
      place: { partition: 0, offset: 7 },
      atMs: 1_700_000_000_000,
      topic: 'halley-push-topic',
      partition: 3,
      offset: 42,
      reason: 'undecodable',
      detail: '',
      valueBytes: 2,
      cut: false,
      key: 'u/1',
      headers: { a: 'b' },
      value: Buffer.from([0, 255]),
    },
  ]);

/** Something that went wrong with the push x. */
const refusedBefore = () =>
  logic.stores.ledger.write([
    {
      rowId: Buffer.alloc(16, 1),
      id: 'x',
      caller: '',
      kind: 'refused',
      reason: 'overloaded',
      tier: 'logic',
      node: 'logic-1',
      atMs: 1,
      lastAtMs: 2,
      stream: '',
      keys: [],
      count: 1,
    },
  ]);

/** A push that waits. */
const waiting = (id = 'w') => send('push', { body: push({ id, delay_ms: 60_000 }) });
const recurring = { cron: '55 8 * * 1-5', push: push() };
/** A recurring push. */
const repeated = () => send('putRecurring', { path: '/v1/recurring/r', body: recurring });

/** One call for each answer that the document tells, beside those for the key. */
const CALLS: Readonly<Record<string, Readonly<Record<number, Call>>>> = {
  push: {
    200: { body: push() },
    400: { body: push({ target: { users: { mids: [0] } } }) },
    409: { body: push({ id: 'w', delay_ms: 60_000, operation: 2 }), when: waiting },
    413: { body: push({ body: 'x'.repeat(1_001) }) },
    429: { body: push(), when: busy },
    500: { body: push(), when: () => (bus.answer = () => new Error('a bug')) },
    503: { body: push(), when: () => (bus.answer = () => new HalleyError('bus_unknown')) },
    504: {
      body: push({ target: { keys: { keys: ['k'] } } }),
      headers: { 'Halley-Timeout-Ms': '1' },
      when: () => replace(logic.routes, 'owners', slow),
    },
  },
  pushBatch: {
    200: { body: { requests: [push({ id: 'a' }), push({ operation: 'x' }), 7] } },
    400: { body: { requests: [] } },
    429: { body: { requests: [push()] }, when: busy },
  },
  listSchedules: {
    200: { path: '/v1/schedules?state=waiting,cancelled&limit=5', when: waiting },
    400: { path: '/v1/schedules?state=sleeping' },
    500: { when: () => replace(logic.stores.schedules, 'list', broken) },
    503: { when: () => replace(logic.stores.schedules, 'list', away) },
  },
  getSchedule: {
    200: { path: '/v1/schedules/w', when: waiting },
    400: { path: '/v1/schedules/w?body=1' },
    404: { path: '/v1/schedules/nothing' },
    500: { path: '/v1/schedules/w', when: () => replace(logic.stores.schedules, 'get', broken) },
    503: { path: '/v1/schedules/w', when: () => replace(logic.stores.schedules, 'get', away) },
  },
  cancelSchedule: {
    200: { path: '/v1/schedules/c', when: () => waiting('c') },
    400: { path: '/v1/schedules/c', body: { now: true } },
    404: { path: '/v1/schedules/nothing' },
    409: {
      path: '/v1/schedules/c',
      when: () => replace(logic.stores.schedules, 'cancel', async () => 'too_late'),
    },
    500: { path: '/v1/schedules/c', when: () => replace(logic.stores.schedules, 'cancel', broken) },
    503: { path: '/v1/schedules/c', when: () => replace(logic.stores.schedules, 'cancel', away) },
  },
  putRecurring: {
    200: { path: '/v1/recurring/r', body: recurring },
    400: { path: '/v1/recurring/r', body: { ...recurring, cron: '61 * * * *' } },
    413: { path: '/v1/recurring/r', body: { ...recurring, push: push({ body: 'x'.repeat(1_001) }) } },
    500: {
      path: '/v1/recurring/r',
      body: recurring,
      when: () => replace(logic.stores.schedules, 'putRecurring', broken),
    },
    503: {
      path: '/v1/recurring/r',
      body: recurring,
      when: () => replace(logic.stores.schedules, 'putRecurring', away),
    },
  },
  listRecurring: {
    200: { path: '/v1/recurring?limit=5', when: repeated },
    400: { path: '/v1/recurring?limit=many' },
    500: { when: () => replace(logic.stores.schedules, 'listRecurring', broken) },
    503: { when: () => replace(logic.stores.schedules, 'listRecurring', away) },
  },
  getRecurring: {
    200: { path: '/v1/recurring/r', when: repeated },
    400: { path: '/v1/recurring/r?whole=1' },
    404: { path: '/v1/recurring/nothing' },
    500: { path: '/v1/recurring/r', when: () => replace(logic.stores.schedules, 'getRecurring', broken) },
    503: { path: '/v1/recurring/r', when: () => replace(logic.stores.schedules, 'getRecurring', away) },
  },
  deleteRecurring: {
    200: { path: '/v1/recurring/r', when: repeated },
    400: { path: '/v1/recurring/r?now=1' },
    404: { path: '/v1/recurring/nothing' },
    500: { path: '/v1/recurring/r', when: () => replace(logic.stores.schedules, 'deleteRecurring', broken) },
    503: { path: '/v1/recurring/r', when: () => replace(logic.stores.schedules, 'deleteRecurring', away) },
  },
  tracePush: {
    200: { path: '/v1/pushes/x/trace?caller=goim&limit=5', when: refusedBefore },
    400: { path: '/v1/pushes/x/trace?limit=-1' },
    500: { path: '/v1/pushes/x/trace', when: () => replace(logic.stores.streams, 'positions', broken) },
    503: { path: '/v1/pushes/x/trace', when: () => replace(logic.stores.streams, 'positions', away) },
  },
  getPresence: {
    200: { path: '/v1/presence?mid=1,9007199254740993&mid=2' },
    400: { path: '/v1/presence?mid=1,x' },
    500: { path: '/v1/presence?mid=1', when: () => replace(logic.routes, 'find', broken) },
    503: { path: '/v1/presence?mid=1', when: () => replace(logic.routes, 'find', away) },
  },
  disconnect: {
    200: { body: { users: { mids: ['1'] }, reason: 'bye' } },
    400: { body: {} },
    500: { body: { keys: { keys: ['k'] } }, when: () => replace(logic.routes, 'find', broken) },
    503: { body: { keys: { keys: ['k'] } }, when: () => replace(logic.routes, 'find', away) },
  },
  listNodes: {
    200: {},
    400: { path: '/v1/nodes?tier=none' },
  },
  listDeadLetters: {
    200: { path: '/v1/dead-letters?limit=5&reason=undecodable', when: letter },
    400: { path: '/v1/dead-letters?limit=-1' },
    500: { when: () => replace(logic.stores.dead, 'list', broken) },
    503: { when: () => replace(logic.stores.dead, 'list', away) },
  },
  getDeadLetter: {
    200: { path: '/v1/dead-letters/1', when: letter },
    400: { path: '/v1/dead-letters/x' },
    404: { path: '/v1/dead-letters/999' },
    500: { path: '/v1/dead-letters/1', when: () => replace(logic.stores.dead, 'get', broken) },
    503: { path: '/v1/dead-letters/1', when: () => replace(logic.stores.dead, 'get', away) },
  },
  requeueDeadLetters: {
    200: { body: { ids: ['1', 2, '999'], force: true }, when: letter },
    400: { body: { ids: [] } },
  },
  readUserHistory: {
    200: { path: '/v1/history/users/1' },
    400: { path: '/v1/history/users/x' },
    500: { path: '/v1/history/users/1', when: () => replace(logic.stores.streams, 'read', broken) },
    503: { path: '/v1/history/users/1', when: () => replace(logic.stores.streams, 'read', away) },
  },
  readRoomHistory: {
    200: { path: '/v1/history/rooms?room=live://1' },
    400: { path: '/v1/history/rooms' },
    500: { path: '/v1/history/rooms?room=r', when: () => replace(logic.stores.streams, 'read', broken) },
    503: { path: '/v1/history/rooms?room=r', when: () => replace(logic.stores.streams, 'read', away) },
  },
};

describe('every answer that is documented comes, as it is documented', () => {
  const documented = new DocumentedAnswers();
  /** What the key decides. */
  const KEYS_ANSWERS = { 401: '', 403: 'Bearer other' } as const;
  const answers = Object.entries(CALLS).flatMap(([id, calls]) => [
    ...Object.entries(calls).map(([status, call]) => ({ id, status: Number(status), call })),
    ...Object.entries(KEYS_ANSWERS).map(([status, authorization]) => ({
      id,
      status: Number(status),
      call: { ...calls[200], when: undefined, headers: { authorization } },
    })),
  ]);

  test('each has a call here', () => {
    // Only a fault of a kind that nobody knows of makes these.
    const never = ['listNodes 500', 'pushBatch 500', 'requeueDeadLetters 500'];
    const called = answers.map(({ id, status }) => `${id} ${status}`);
    expect([...called, ...never].toSorted()).toEqual(documented.all().toSorted());
  });

  test.each(answers)('$id $status', async ({ id, status, call }) => {
    await call.when?.();
    const { response, told } = await send(id, call);
    expect({ status: response.status, told }).toMatchObject({ status });
    const { method, path } = routeOf(id);
    const type = response.headers.get('content-type') ?? '';
    expect(documented.problems(method, path, status, type, told)).toEqual([]);
    if (status !== 200) expect(told).toMatchObject({ status, type: `urn:halley:error:${Object(told).code}` });
  });
});

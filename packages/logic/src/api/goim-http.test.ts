import { connect } from 'node:net';

import { HalleyError } from '@halley/protocol/error';
import type { NodeId, RoomId } from '@halley/protocol/ids';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';

import { ApiKeys } from '../auth/api-key.js';
import { GoimHttpFixture, MEBIBYTE } from '../testing/goim-http-fixture.js';
import type { GoimHttp } from './goim-http.js';

const http = new GoimHttpFixture();
let server: GoimHttp;
let base: string;
beforeAll(async () => {
  server = await http.serve();
  base = `http://127.0.0.1:${server.boundPort}`;
});
afterAll(() => server.stop(1_000));
beforeEach(() => http.renew());

const post = async (path: string, init: RequestInit = {}, at = base) => {
  const response = await fetch(`${at}${path}`, { method: 'POST', body: 'hello', ...init });
  return { status: response.status, text: await response.text(), headers: response.headers };
};
const get = async (path: string) => {
  const response = await fetch(`${base}${path}`);
  return { status: response.status, text: await response.text() };
};
const OK = { status: 200, text: '{"code":0,"message":""}' };
const answered = (status: number, code: number, message: string) => ({
  status,
  text: expect.stringMatching(new RegExp(`^{"code":${code},"message":"[^"]*${message}`)) as unknown as string,
});

describe('a push', () => {
  test('to keys names each repeated key, and is answered exactly so', async () => {
    expect(await post('/goim/push/keys?operation=1000&keys=a&keys=b,c')).toMatchObject(OK);
    expect(
      http.bus
        .pushes()
        .flatMap(({ keys }) => keys)
        .toSorted(),
    ).toEqual(['a', 'b,c']);
    expect(http.bus.pushes()[0]).toMatchObject({
      operation: 1000,
      body: Buffer.from('hello'),
      class: 'CLASS_DURABLE',
    });
  });

  test('to users takes exact 64-bit ids', async () => {
    expect(
      await post('/goim/push/mids?operation=1&mids=9007199254740993&mids=-9223372036854775808'),
    ).toMatchObject(OK);
    expect(
      http.bus
        .pushes()
        .flatMap(({ users }) => users)
        .toSorted(),
    ).toEqual(['-9223372036854775808', '9007199254740993']);
  });

  test('to a room goes to type://room, and to everyone with a speed', async () => {
    expect(await post('/goim/push/room?operation=1000&type=live&room=1000')).toMatchObject(OK);
    expect(await post('/goim/push/room?operation=1000&type=chat&room=1')).toMatchObject(OK);
    expect(await post('/goim/push/all?operation=1000&speed=5')).toMatchObject(OK);
    expect(http.bus.pushes()).toEqual([
      expect.objectContaining({ rooms: ['live://1000'], class: 'CLASS_EPHEMERAL' }),
      // As push.durableRooms says.
      expect.objectContaining({ rooms: ['chat://1'], class: 'CLASS_DURABLE' }),
      expect.objectContaining({ everyone: true, speed: 5 }),
    ]);
  });

  test('without an operation has operation 0 for keys and users', async () => {
    expect(await post('/goim/push/keys?keys=a')).toMatchObject(OK);
    expect(await post('/goim/push/mids?operation=&mids=1')).toMatchObject(OK);
    expect(http.bus.pushes().map(({ operation }) => operation)).toEqual([0, 0]);
  });

  test.each([
    ['an empty body', { body: '' }],
    ['no body', { body: null }],
  ])('with %s is an empty message', async (_, init) => {
    expect(await post('/goim/push/room?operation=1&type=a&room=b', init)).toMatchObject(OK);
    expect(http.bus.pushes()[0]?.body).toHaveLength(0);
  });

  test.each([
    ['none', undefined],
    ['JSON', 'application/json'],
    ['a form', 'application/x-www-form-urlencoded'],
    ['multipart without a boundary', 'multipart/form-data'],
    ['what is no type', 'garbage'],
    ['text in another charset', 'text/plain; charset=utf-16'],
  ])('is taken as it is, with %s as its type', async (_, type) => {
    const body = Buffer.from('operation=7&keys=x\u00ff{', 'latin1');
    const init = { body, headers: type === undefined ? {} : { 'content-type': type } };
    expect(await post('/goim/push/keys?operation=1&keys=a', init)).toMatchObject(OK);
    expect(http.bus.pushes()[0]).toMatchObject({ operation: 1, keys: ['a'], body });
  });

  test('to users, keys and rooms that nobody has is OK', async () => {
    expect(await post('/goim/push/keys?operation=1&keys=nobody')).toMatchObject(OK);
    expect(await post('/goim/push/mids?operation=1&mids=404')).toMatchObject(OK);
    expect(await post('/goim/push/room?operation=1&type=no&room=no')).toMatchObject(OK);
  });

  test('to mid 0, an empty key, or no mids is OK and goes to nobody', async () => {
    expect(await post('/goim/push/mids?operation=1&mids=0')).toMatchObject(OK);
    expect(await post('/goim/push/mids?operation=1')).toMatchObject(OK);
    expect(await post('/goim/push/keys?operation=1&keys=')).toMatchObject(OK);
    expect(http.bus.calls).toEqual([]);
  });

  test('to many keys fits the query', async () => {
    const keys = Array.from({ length: 1_000 }, (_, index) => `keys=${'k'.repeat(36)}${index}`).join('&');
    expect(await post(`/goim/push/keys?operation=1&${keys}`)).toMatchObject(OK);
    expect(await post(`/goim/push/keys?operation=1&${keys}&keys=more`)).toMatchObject(
      answered(400, -400, 'keys: 1001 values'),
    );
  });

  test('of 1 MiB is taken, of more is 413 with -400, and the connection can be used on', async () => {
    const path = '/goim/push/keys?operation=1&keys=a';
    expect(await post(path, { body: Buffer.alloc(MEBIBYTE) })).toMatchObject(OK);
    expect(http.bus.pushes()[0]?.body).toHaveLength(MEBIBYTE);
    expect(await post(path, { body: Buffer.alloc(MEBIBYTE + 1) })).toMatchObject(
      answered(413, -400, 'larger than 1048576'),
    );
    expect(await post(path, { body: Buffer.alloc(8 * MEBIBYTE) })).toMatchObject(
      answered(413, -400, 'larger'),
    );
    expect(await post(path)).toMatchObject(OK);
  });

  test('carries the trace of the caller', async () => {
    const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
    await post('/goim/push/keys?operation=1&keys=a', { headers: { traceparent } });
    expect(http.bus.pushes()[0]?.traceparent).toBe(traceparent);
  });
});

describe('a query that does not bind', () => {
  test.each([
    ['/goim/push/keys?operation=x&keys=a', 'operation: .*x.* is not a 32-bit integer'],
    ['/goim/push/keys?operation=2147483648&keys=a', 'operation'],
    ['/goim/push/keys?operation=1.0&keys=a', 'operation'],
    ['/goim/push/mids?operation=1&mids=1,2', 'mids.0.: .*1,2.* is not a 64-bit integer'],
    ['/goim/push/mids?operation=1&mids=1&mids=9223372036854775808', 'mids.1.'],
    ['/goim/push/mids?operation=1&mids=abc', 'mids.0.'],
    ['/goim/push/room?operation=1', 'type: is required; room: is required'],
    ['/goim/push/room?type=a&room=b', 'operation: is required'],
    ['/goim/push/room?operation=0&type=a&room=b', 'operation: is required'],
    ['/goim/push/room?operation=1&type=&room=b', 'type: is required'],
    ['/goim/push/all', 'operation: is required'],
    ['/goim/push/all?operation=1&speed=x', 'speed'],
    ['/goim/push/all?operation=x&speed=y', 'operation: .*; speed: '],
  ])('%s is 400 with -400 and names the field', async (path, message) => {
    const answer = await post(path);
    expect(answer.status).toBe(400);
    const { code, message: told } = JSON.parse(answer.text) as { code: number; message: string };
    expect(code).toBe(-400);
    expect(told).toMatch(new RegExp(message));
    expect(http.bus.calls).toEqual([]);
  });

  test('no keys at all is 200 with -400', async () => {
    expect(await post('/goim/push/keys?operation=1')).toMatchObject(answered(200, -400, 'keys'));
  });

  test('a form body does not stand in for the query', async () => {
    const init = {
      body: 'operation=1&type=a&room=b',
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
    };
    expect(await post('/goim/push/room', init)).toMatchObject(answered(400, -400, 'operation'));
  });

  test.each([
    ['/goim/online/top?type=live&limit=-1', 'limit: must not be negative'],
    ['/goim/online/top?type=live&limit=0', 'limit: is required'],
    ['/goim/online/top?limit=5', 'type: is required'],
    ['/goim/online/top?type=live&limit=x', 'limit'],
    ['/goim/online/room?type=live', 'rooms: is required'],
    ['/goim/online/room?rooms=1', 'type: is required'],
  ])('%s is 400 with -400', async (path, message) => {
    expect(await get(path)).toMatchObject(answered(400, -400, message));
  });
});

describe('online figures', () => {
  const put = (node: string, counts: Record<string, number>) =>
    http.routes.putOnline(
      node as NodeId,
      new Map(Object.entries(counts)) as unknown as ReadonlyMap<RoomId, number>,
      30_000,
    );

  test('top is summed over the comets, fullest first, named without the type', async () => {
    await put('a', { 'live://1000': 2, 'live://2000': 1, 'chat://1': 9, lobby: 4 });
    await put('b', { 'live://1000': 1 });
    expect(await get('/goim/online/top?type=live&limit=10')).toEqual({
      status: 200,
      text: '{"code":0,"message":"","data":[{"room_id":"1000","count":3},{"room_id":"2000","count":1}]}',
    });
    http.pass(5_000);
    expect((await get('/goim/online/top?type=li&limit=1')).text).toContain(
      '"data":[{"room_id":"1000","count":3}]',
    );
    expect((await get('/goim/online/top?type=lobby&limit=1')).text).toContain(
      '[{"room_id":"lobby","count":4}]',
    );
    expect((await get('/goim/online/top?type=none&limit=1')).text).toBe('{"code":0,"message":"","data":[]}');
  });

  test('room names each room once, in order, also empty ones', async () => {
    await put('a', { 'live://1000': 3 });
    expect(
      (await get('/goim/online/room?type=live&rooms=300&rooms=1000&rooms=1000&rooms=__proto__')).text,
    ).toBe('{"code":0,"message":"","data":{"1000":3,"300":0,"__proto__":0}}');
  });

  test('total is what the comets registered', async () => {
    expect((await get('/goim/online/total')).text).toBe(
      '{"code":0,"message":"","data":{"conn_count":3,"ip_count":1}}',
    );
  });
});

describe('nodes', () => {
  test('weighted has its shape', async () => {
    expect((await get('/goim/nodes/weighted')).text).toBe(
      '{"code":0,"message":"","data":{"domain":"conn.goim.io","tcp_port":3101,"ws_port":3102,"wss_port":3103,"heartbeat":240,' +
        '"nodes":["127.0.0.1"],"backoff":{"max_delay":300,"base_delay":3,"factor":1.8,"jitter":0.3},"heartbeat_max":2}}',
    );
    expect((await get('/goim/nodes/weighted?platform=web')).text).toContain('"nodes":["host.goim.io"]');
  });

  test('instances has its shape', async () => {
    expect((await get('/goim/nodes/instances')).text).toBe(
      '{"code":0,"message":"","data":[{"region":"sh","zone":"sh001","env":"dev","appid":"goim.comet","hostname":"host",' +
        '"addrs":["grpc://127.0.0.1:3109"],"version":"0.1.0","latest_timestamp":1700000000000000000,' +
        '"metadata":{"addrs":"127.0.0.1","conn_count":"3","ip_count":"1","offline":"false","weight":"10"}}]}',
    );
  });
});

describe('failures', () => {
  test.each(['bus_refused', 'bus_unknown', 'store_unavailable', 'internal'] as const)(
    '%s is 200 with -500',
    async (code) => {
      http.bus.answer = () => new HalleyError(code);
      expect(await post('/goim/push/keys?operation=1&keys=a')).toMatchObject(answered(200, -500, ''));
    },
  );

  test('a thrown fault costs one answer and its cause is not told', async () => {
    http.routes.online = () => Promise.reject(new Error('secret cause'));
    const answer = await get('/goim/online/top?type=live&limit=1');
    expect(answer).toMatchObject(answered(200, -500, ''));
    expect(answer.text).not.toContain('secret');
  });

  test('too much at once is 429 with -429 and Retry-After', async () => {
    const small = await http.serve(new ApiKeys([], false), 1);
    const at = `http://127.0.0.1:${small.boundPort}`;
    http.bus.answer = undefined;
    const first = post('/goim/push/keys?operation=1&keys=a', {}, at);
    while (http.bus.calls.length === 0) await new Promise((resolve) => setImmediate(resolve));
    const second = await post('/goim/push/keys?operation=1&keys=a', {}, at);
    expect(second).toMatchObject(answered(429, -429, 'Repeat'));
    expect(second.headers.get('retry-after')).toBe('1');
    http.bus.calls[0]?.resolve();
    expect(await first).toMatchObject(OK);
    await small.stop(1_000);
  });

  test('a body that breaks off is pushed to nobody and disturbs nobody', async () => {
    const socket = connect(server.boundPort, '127.0.0.1');
    socket.on('error', () => undefined);
    await new Promise<void>((resolve) => socket.once('connect', resolve));
    socket.write('POST /goim/push/all?operation=1 HTTP/1.1\r\nhost: a\r\ncontent-length: 100\r\n\r\npart');
    await new Promise((resolve) => setTimeout(resolve, 20));
    socket.destroy();
    expect(await post('/goim/push/keys?operation=1&keys=a')).toMatchObject(OK);
    expect(http.bus.pushes()).toHaveLength(1);
  });
});

describe('paths and methods', () => {
  test.each(['/', '/goim', '/goim/push', '/goim/push/nobody', '/goim/%zz', '/v2'])(
    '%s is not found',
    async (path) => {
      expect((await get(path)).status).toBe(404);
    },
  );

  test.each(['GET', 'PUT', 'DELETE', 'OPTIONS', 'HEAD'])(
    '%s on a push is 405 and tells the method',
    async (method) => {
      const response = await fetch(`${base}/goim/push/all?operation=1`, { method });
      expect(response.status).toBe(405);
      expect(response.headers.get('allow')).toBe('POST');
      await response.text();
    },
  );

  // Each path has its one method in goim: to a HEAD it answers 404.
  test.each(['HEAD', 'PUT', 'DELETE', 'OPTIONS'])(
    '%s on a figure is 405 and tells the method',
    async (method) => {
      const response = await fetch(`${base}/goim/online/total`, { method });
      expect(response.status).toBe(405);
      expect(response.headers.get('allow')).toBe('GET');
      await response.text();
    },
  );

  test('POST on a figure is 405, with any body', async () => {
    expect(await post('/goim/online/total', { body: Buffer.alloc(100_000) })).toMatchObject({ status: 405 });
  });

  test('pipelined pushes of one connection keep their order', async () => {
    const socket = connect(server.boundPort, '127.0.0.1');
    const request = (body: string) =>
      `POST /goim/push/mids?operation=1&mids=1 HTTP/1.1\r\nhost: a\r\ncontent-length: ${body.length}\r\n\r\n${body}`;
    const bodies = Array.from({ length: 20 }, (_, index) => String(index).padStart(3, '0'));
    socket.write(bodies.map(request).join(''));
    let text = '';
    await new Promise<void>((resolve) => {
      socket.on('data', (chunk) => {
        text += chunk.toString();
        if (text.split('"code":0').length === 21) resolve();
      });
    });
    socket.destroy();
    expect(http.bus.pushes().map(({ body }) => body.toString())).toEqual(bodies);
  });
});

describe('with API keys', () => {
  test('a key with the scope is needed', async () => {
    const guarded = await http.serve(new ApiKeys([{ name: 'shop', key: 'k', scopes: ['push'] }], true));
    const at = `http://127.0.0.1:${guarded.boundPort}`;
    const path = '/goim/push/keys?operation=1&keys=a';
    expect(await post(path, {}, at)).toMatchObject(answered(401, -401, 'API key'));
    expect(await post(path, { headers: { authorization: 'Bearer x' } }, at)).toMatchObject({ status: 401 });
    expect(await post(path, { headers: { authorization: 'Bearer k' } }, at)).toMatchObject(OK);
    expect(await post(path, { headers: { 'x-api-key': 'k' } }, at)).toMatchObject(OK);
    expect(http.bus.pushes()[0]?.caller).toBe('shop');
    const denied = await fetch(`${at}/goim/online/total`, { headers: { 'x-api-key': 'k' } });
    expect(denied.status).toBe(403);
    await denied.text();
    await guarded.stop(1_000);
  });

  test('only the nodes that clients ask for are answered without one, where they may ask', async () => {
    const keys = new ApiKeys([{ name: 'shop', key: 'k', scopes: ['push'] }], true);
    for (const [publicNodes, status] of [
      [false, 401],
      [true, 200],
    ] as const) {
      const guarded = await http.serve(keys, 1_000, publicNodes);
      const at = `http://127.0.0.1:${guarded.boundPort}`;
      expect((await fetch(`${at}/goim/nodes/weighted?platform=web`)).status).toBe(status);
      for (const path of ['/goim/nodes/instances', '/goim/online/total'])
        expect((await fetch(at + path)).status).toBe(401);
      expect((await fetch(`${at}/goim/push/keys?operation=1&keys=a`, { method: 'POST' })).status).toBe(401);
      await guarded.stop(500);
    }
  });
});

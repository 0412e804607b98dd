import { once } from 'node:events';
import { connect } from 'node:net';

import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { CloseCode } from '@halley/protocol/close-code';
import { encodeFrame, encodeFrames } from '@halley/protocol/frame';
import { OperationV2 } from '@halley/protocol/operation';

import { outgoing } from '../../delivery/outgoing.js';
import { FakeClock } from '../../testing/fake-clock.js';
import { CometHarness, until } from '../../testing/harness.js';
import type { HttpClient } from '../../testing/http-client.js';
import { frame } from '../../testing/test-client.js';

let harness: CometHarness;
beforeEach(async () => {
  harness = await CometHarness.start({ allowsOrigin: (origin) => origin === 'https://good.example' });
});
afterEach(() => harness.stop());

/** Holds what logic is asked until it is called. */
function gate(): () => void {
  let letGo = (): void => undefined;
  harness.logic.gate = new Promise<void>((resolve) => {
    letGo = resolve;
  });
  return letGo;
}

describe.each(['sse', 'poll'] as const)('a session over %s', (kind) => {
  const open = async (token: object): Promise<HttpClient> => {
    const client = harness.http(kind, token);
    expect((await client.next()).op).toBe(8);
    return client;
  };

  test('is opened by the token, answered, pushed to, and heard', async () => {
    const client = await open({ mid: 1, key: 'k', accepts: [1_000] });
    expect(await harness.metric('halley_comet_connections', { transport: kind })).toBe(1);
    client.send(frame(2, '', 7));
    expect((await client.next()).seq).toBe(7);
    harness.comet.deliverer.toKeys(['k'], outgoing(1_000, Buffer.from('hello')));
    harness.comet.deliverer.toKeys(['k'], outgoing(1_000, Buffer.alloc(1_000_000, 'x')));
    expect(Buffer.from((await client.next()).body).toString()).toBe('hello');
    expect((await client.next()).body).toHaveLength(1_000_000);
    client.send(frame(4, 'one', 8), frame(4, 'two', 9));
    expect([(await client.next()).seq, (await client.next()).seq]).toEqual([8, 9]);
    expect(harness.logic.received.map(({ frame: { body } }) => Buffer.from(body).toString())).toEqual([
      'one',
      'two',
    ]);
  });

  test('speaks version 2', async () => {
    const client = await harness.version2({ mid: 1, key: 'k' }, { deflate: true }, kind);
    client.raw(2, new Uint8Array(0));
    expect((await client.next()).op).toBe(3);
    harness.comet.closeAll(CloseCode.Kicked, 'Go.');
    const { close, ended } = await client.end();
    expect([close?.code, ended]).toEqual([CloseCode.Kicked, { code: CloseCode.Kicked, reason: 'Go.' }]);
  });

  test('a token that is none is told by a close code', async () => {
    const client = harness.http(kind, 'rubbish');
    expect(await client.end()).toMatchObject({
      code: CloseCode.BadToken,
      reason: expect.stringMatching(/\S/),
    });
    await until(() => harness.comet.counter.open === 0);
  });

  test('a malformed POST is closed behind the good frames ahead', async () => {
    const client = await open({ mid: 1 });
    const bytes = Buffer.concat([encodeFrame(frame(4, 'good', 3)), Buffer.from('rubbish')]);
    expect((await client.post(bytes)).status).toBe(204);
    expect((await client.next()).seq).toBe(3);
    expect(await client.end()).toEqual({
      code: CloseCode.BadFrame,
      reason: 'The message ends 7 bytes into a header.',
    });
    await until(() => harness.comet.table.size === 0);
  });

  test('what is sent is taken once, and in order', async () => {
    const client = await open({ mid: 1 });
    const post = (n: number | string, text: string) =>
      client.ask('POST', `/send?n=${n}`, { body: encodeFrame(frame(4, text)) });
    expect((await post(2, 'too early')).code).toBe('send_out_of_order');
    expect((await post(0, 'too early')).code).toBe('send_out_of_order');
    expect((await post('x', 'no number')).code).toBe('invalid_argument');
    expect((await post(1, 'first')).status).toBe(204);
    expect((await post(1, 'again')).status).toBe(204);
    expect((await post(2, 'second')).status).toBe(204);
    expect((await post(1, 'late')).code).toBe('send_out_of_order');
    await client.next();
    await client.next();
    expect(harness.logic.calls.filter((call) => call.startsWith('receive'))).toEqual([
      'receive first',
      'receive second',
    ]);
  });

  test('a POST is answered once the session takes more; the next one is refused until then', async () => {
    const client = await open({ mid: 1 });
    const letGo = gate();
    const answers: number[] = [];
    const body = encodeFrames([frame(4, 'a', 3), frame(4, 'b', 4), frame(4, 'c', 5)]);
    const first = client.post(body).then(({ status }) => answers.push(status));
    await until(() => harness.logic.calls.includes('receive a'));
    // The same again takes its place; another one is out of order.
    const again = client.ask('POST', '/send?n=1', { body });
    await first;
    expect((await client.ask('POST', '/send?n=2', { body })).code).toBe('send_out_of_order');
    letGo();
    expect((await again).status).toBe(204);
    expect([(await client.next()).seq, (await client.next()).seq, (await client.next()).seq]).toEqual([
      3, 4, 5,
    ]);
    expect(answers).toEqual([204]);
  });

  test('what comes ahead of the answer to the auth waits for it', async () => {
    const letGo = gate();
    const client = harness.http(kind, { mid: 1 });
    await until(() => harness.comet.counter.open === 1);
    client.send(frame(2, '', 9));
    letGo();
    expect([(await client.next()).op, (await client.next()).seq]).toEqual([8, 9]);
  });

  test('DELETE ends it as a client does', async () => {
    const client = await open({ mid: 1, key: 'k' });
    expect((await client.ask('DELETE', '/session')).status).toBe(204);
    await client.end();
    await until(() => harness.comet.table.size === 0 && harness.comet.counter.open === 0);
    expect(await harness.metric('halley_comet_connections', { transport: kind })).toBe(0);
    expect((await client.ask('DELETE', '/session')).status).toBe(204);
    expect((await client.ask('POST', '/send?n=1')).code).toBe('session_unknown');
  });

  test('it belongs to who opened it', async () => {
    const client = await open({ mid: 1 });
    const headers = { authorization: `Bearer ${Buffer.from('{"mid":2}').toString('base64url')}` };
    for (const [method, path] of [
      ['POST', '/send?n=1'],
      ['GET', '/poll?after=1'],
      ['GET', '/sse'],
      ['DELETE', '/session'],
    ] as const) {
      const answer = await client.ask(method, path, { headers });
      expect([answer.status, answer.code]).toEqual([403, 'session_not_yours']);
    }
    client.send(frame(2, '', 7));
    expect((await client.next()).seq).toBe(7);
  });

  test('its id opens no second one', async () => {
    const client = await open({ mid: 1 });
    const answer = await client.ask('GET', '/sse');
    expect([answer.status, answer.code]).toEqual([409, 'session_in_use']);
  });

  test('it counts as one connection of its address, however many sockets its requests have', async () => {
    await harness.stop();
    harness = await CometHarness.start({ limits: { maxConnections: 2, maxConnectionsPerAddress: 1 } });
    const client = await open({ mid: 1 });
    await Promise.all(
      [1, 2, 3].map(() => client.ask('DELETE', '/session', { headers: { 'halley-session': '' } })),
    );
    expect(harness.comet.counter.open).toBe(1);
    expect(harness.comet.counter.sockets).toBeGreaterThan(1);
    const second = harness.http(kind, { mid: 2 });
    expect((await second.end()).code).toBe(CloseCode.TooManyConnections);
    await until(() => harness.comet.counter.open === 1);
  });

  test('a full node says so', async () => {
    await harness.stop();
    harness = await CometHarness.start({ limits: { maxConnections: 1, maxConnectionsPerAddress: 0 } });
    const client = await open({ mid: 1 });
    const other = harness.http(kind, { mid: 2 }, { manual: true });
    const answer = await other.ask('GET', kind === 'sse' ? '/sse' : '/poll?after=0');
    expect([answer.status, answer.code, answer.headers['retry-after']]).toEqual([429, 'overloaded', '1']);
    await expect(harness.ws()).rejects.toThrow('503');
    client.send(frame(2, '', 7));
    expect((await client.next()).seq).toBe(7);
  });

  test('is served while the node drains, and then told', async () => {
    const client = await harness.version2({ mid: 1 }, {}, kind);
    const drained = harness.comet.drain(300);
    const other = harness.http(kind, { mid: 2 }, { manual: true });
    const answer = await other.ask('GET', kind === 'sse' ? '/sse' : '/poll?after=0');
    expect([answer.status, answer.code]).toEqual([503, 'unavailable']);
    await expect(harness.ws()).rejects.toThrow('503');
    expect((await client.next()).op).toBe(OperationV2.Move);
    client.raw(2, new Uint8Array(0));
    expect((await client.next()).op).toBe(3);
    await drained;
    expect((await client.end()).ended.code).toBe(CloseCode.Draining);
  });
});

describe('requests', () => {
  const ask = (
    method: string,
    path: string,
    headers: Record<string, string> = {},
    body?: Uint8Array,
  ): ReturnType<HttpClient['ask']> => {
    const client = harness.http('poll', { mid: 1 }, { manual: true });
    return client.ask(method, path, { headers, ...(body ? { body } : {}) });
  };

  test.each([
    ['no session id', 'GET', '/sse', { 'halley-session': '' }, 400, 'invalid_argument'],
    ['a short session id', 'GET', '/sse', { 'halley-session': 'abc' }, 400, 'invalid_argument'],
    [
      'a session id of other letters',
      'GET',
      '/poll?after=0',
      { 'halley-session': `${'a'.repeat(21)}=` },
      400,
      'invalid_argument',
    ],
    ['no token', 'GET', '/sse', { authorization: '' }, 401, 'bad_token'],
    ['an empty token', 'POST', '/send?n=1', { authorization: 'Bearer ' }, 401, 'bad_token'],
    ['a token that is not base64url', 'GET', '/sse', { authorization: 'Bearer {"mid":1}' }, 401, 'bad_token'],
    ['another scheme', 'GET', '/sse', { authorization: 'Basic YWJj' }, 401, 'bad_token'],
    [
      'a token that is too long',
      'GET',
      '/sse',
      { authorization: `Bearer ${'a'.repeat(6_000)}` },
      413,
      'frame_too_large',
    ],
    ['a poll without its number', 'GET', '/poll', {}, 400, 'invalid_argument'],
    ['a poll with a wrong number', 'GET', '/poll?after=-1', {}, 400, 'invalid_argument'],
    ['a poll with a wrong wait', 'GET', '/poll?after=0&wait_ms=soon', {}, 400, 'invalid_argument'],
    ['a poll of a session that is not known', 'GET', '/poll?after=1', {}, 404, 'session_unknown'],
    ['a POST to a session that is not known', 'POST', '/send?n=1', {}, 404, 'session_unknown'],
    ['another method', 'POST', '/sse', {}, 405, 'invalid_argument'],
    ['a page that may not', 'GET', '/sse', { origin: 'https://bad.example' }, 403, 'origin_refused'],
  ] as [string, string, string, Record<string, string>, number, string][])(
    '%s is refused',
    async (_name, method, path, headers, status, code) => {
      const answer = await ask(method, path, headers);
      expect([answer.status, answer.headers['content-type'], answer.code]).toEqual([
        status,
        'application/problem+json',
        code,
      ]);
      expect(JSON.parse(answer.body.toString())).toMatchObject({
        type: `urn:halley:error:${code}`,
        status,
        title: expect.stringMatching(/\S/),
        detail: expect.stringMatching(/\S/),
      });
      expect(harness.comet.counter.open).toBe(0);
    },
  );

  test('a body above the limit is refused and not read on, and the session goes on', async () => {
    const client = harness.http('poll', { mid: 1 });
    await client.next();
    for (const headers of [{}, { 'transfer-encoding': 'chunked' }] as Record<string, string>[]) {
      const answer = await client.ask('POST', '/send?n=1', { headers, body: Buffer.alloc(70_000) });
      expect([answer.status, answer.code, answer.headers.connection]).toEqual([
        413,
        'frame_too_large',
        'close',
      ]);
    }
    expect((await client.ask('POST', '/send?n=1', { body: encodeFrame(frame(2)) })).status).toBe(204);
    expect((await client.next()).op).toBe(3);
  });

  describe('on one socket', () => {
    const bearer = Buffer.from('{"mid":1}').toString('base64url');
    const get = (path: string, id: string): string =>
      `GET ${path} HTTP/1.1\r\nhost: x\r\nhalley-session: ${id.repeat(22)}\r\nauthorization: Bearer ${bearer}\r\n\r\n`;

    test('a request waits for those ahead of it, and is forgotten with its client', async () => {
      const socket = connect(harness.comet.boundPorts.ws, '127.0.0.1');
      let text = '';
      socket.on('data', (chunk) => (text += chunk.toString('latin1')));
      socket.write(get('/poll?after=0', 'a') + get('/sse', 'b') + get('/poll?after=0', 'c'));
      await until(() => text.includes('text/event-stream') && text.includes('data: '));
      expect(text.indexOf('halley-response: 1')).toBeGreaterThan(0);
      expect(harness.comet.counter.open).toBe(2);
      socket.destroy();
      await until(() => harness.comet.counter.open === 1);
    });

    test('more than a few that wait cut it off', async () => {
      const socket = connect(harness.comet.boundPorts.ws, '127.0.0.1');
      socket.on('error', () => undefined).resume();
      socket.write(get('/sse', 'a') + get('/sse', 'b').repeat(10));
      await once(socket, 'close');
      await until(() => harness.comet.counter.open === 0);
      expect(harness.comet.counter.sockets).toBe(0);
    });

    test('WebSocket may follow a request, long after the socket was opened', async () => {
      await harness.stop();
      const clock = new FakeClock();
      harness = await CometHarness.start({ clock });
      const socket = connect(harness.comet.boundPorts.ws, '127.0.0.1');
      socket.write('GET /session HTTP/1.1\r\nhost: x\r\n\r\n');
      await once(socket, 'data');
      clock.advance(60_000);
      socket.write('DELETE /session HTTP/1.1\r\nhost: x\r\n\r\n');
      await once(socket, 'data');
      clock.advance(5_000);
      socket.write(
        'GET /sub HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\nconnection: Upgrade\r\n' +
          'sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n',
      );
      expect(String((await once(socket, 'data'))[0])).toContain('101 Switching Protocols');
      await new Promise((resolve) => setTimeout(resolve, 150));
      // Nothing was said to it, as it would be when its 8 s had passed.
      expect(socket.readableEnded).toBe(false);
      expect(await harness.metric('halley_comet_closes_total')).toBe(0);
      socket.destroy();
    });
  });

  test('a compressed body is refused', async () => {
    const client = harness.http('poll', { mid: 1 });
    await client.next();
    const answer = await client.ask('POST', '/send?n=1', { headers: { 'content-encoding': 'gzip' } });
    expect(answer.status).toBe(415);
  });

  test('a page of a listed origin may ask, and read what it needs', async () => {
    const origin = 'https://good.example';
    const preflight = await ask('OPTIONS', '/send?n=1', {
      origin: origin,
      'halley-session': '',
      authorization: '',
      'access-control-request-method': 'POST',
    });
    expect(preflight.status).toBe(204);
    expect(preflight.headers).toMatchObject({
      'access-control-allow-origin': origin,
      'access-control-allow-methods': 'GET, POST, DELETE',
      'access-control-allow-headers': 'Authorization, Halley-Session, Content-Type',
      'access-control-max-age': '86400',
      vary: 'Origin',
    });
    const answer = await ask('GET', '/poll?after=3', { origin });
    expect(answer.status).toBe(404);
    expect(answer.headers).toMatchObject({
      'access-control-allow-origin': origin,
      'access-control-expose-headers': expect.stringContaining('Halley-Response, Halley-Close'),
    });
    const refused = await ask('OPTIONS', '/send?n=1', { origin: 'https://bad.example' });
    expect(refused.status).toBe(403);
    expect(refused.headers['access-control-allow-origin']).toBeUndefined();
  });

  test('requests are counted by path and status', async () => {
    await ask('POST', '/send?n=1');
    expect(await harness.metric('halley_comet_http_requests_total', { path: '/send', status: '404' })).toBe(
      1,
    );
  });
});

import { createServer, type IncomingHttpHeaders, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { Webhook } from 'standardwebhooks';

import { checkWebhooks, webhookConfig } from './config.js';
import type { WebhookEvent } from './payload.js';
import { poster, retryAfterOf } from './poster.js';
import { secretOf, signed } from '@halley/service/webhook-signature';

const SECRET = `whsec_${Buffer.alloc(32, 7).toString('base64')}`;
const NEXT = `whsec_${Buffer.alloc(32, 8).toString('base64')}`;
let server: Server;
let url: string;
let answer: (response: ServerResponse) => void;
let seen: { headers: IncomingHttpHeaders; body: string }[];
const never = new AbortController().signal;
const event: WebhookEvent = { id: 'read-1', kind: 'read', lane: '1', body: () => '{"type":"read","é":1}' };

beforeAll(async () => {
  server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      seen.push({ headers: request.headers, body: Buffer.concat(chunks).toString() });
      answer(response);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook`;
});
afterAll(() => {
  server.closeAllConnections();
  server.close();
});
beforeEach(() => {
  seen = [];
  answer = (response) => void response.writeHead(204).end();
});

const post = (signal = never, timeoutMs = 5_000) =>
  poster({ endpoint: { url, secrets: [SECRET, NEXT] }, timeoutMs, now: Date.now })(event, signal);
const status = (code: number, headers = {}) => {
  answer = (response) => void response.writeHead(code, headers).end('x');
  return post();
};

test('is signed as Standard Webhooks asks for, for the old secret and the new', async () => {
  expect(await post()).toEqual({ result: 'taken' });
  const { headers, body } = seen[0]!;
  for (const secret of [SECRET, NEXT])
    expect(new Webhook(secret).verify(body, headers as Record<string, string>)).toEqual({
      type: 'read',
      é: 1,
    });
  expect(headers).toMatchObject({ 'webhook-id': 'read-1', 'content-type': 'application/json' });
  const another = `whsec_${Buffer.alloc(32, 9).toString('base64')}`;
  expect(() => new Webhook(another).verify(body, headers as Record<string, string>)).toThrow('No matching');
});

test('signs as the reference library does', () => {
  const at = 1_800_000_000_123;
  const ours = signed('id-1', '{"a":"ü"}', at, [secretOf(SECRET)!])['webhook-signature'];
  expect(ours).toBe(new Webhook(SECRET).sign('id-1', new Date(at), '{"a":"ü"}'));
});

test('reads a status', async () => {
  const failed = (code: number) => ({ result: 'failed', why: `status ${code}` });
  expect(await status(410)).toEqual({ result: 'gone' });
  expect(await status(422)).toEqual({ result: 'refused', why: 'status 422' });
  for (const code of [401, 404, 408, 425, 500]) expect(await status(code)).toEqual(failed(code));
  expect(await status(429, { 'retry-after': '7' })).toEqual({ ...failed(429), retryAfterMs: 7_000 });
});

test('follows no redirect', async () => {
  expect(await status(307, { location: url })).toEqual({ result: 'failed', why: 'status 307' });
  expect(seen).toHaveLength(1);
});

test('waits for no answer for ever, and reads no long one', async () => {
  answer = () => undefined;
  expect(await post(never, 50)).toEqual({ result: 'failed', why: 'no answer in time' });
  answer = (response) => {
    response.writeHead(200);
    const chunk = Buffer.alloc(65_536);
    const more = (): void => {
      while (!response.destroyed && response.write(chunk));
    };
    response.on('drain', more);
    more();
  };
  expect(await post()).toEqual({ result: 'taken' });
});

test('an event of which no body can be made is refused, without asking the endpoint', async () => {
  const send = poster({ endpoint: { url, secrets: [SECRET] }, timeoutMs: 5_000, now: Date.now });
  const body = (): string => JSON.stringify({ count: 1n });
  expect(await send({ ...event, body }, never)).toEqual({
    result: 'refused',
    why: 'it has no body: TypeError',
  });
  expect(seen).toEqual([]);
});

test('an endpoint that is down has failed', async () => {
  const nowhere = poster({
    endpoint: { url: 'http://127.0.0.1:1/', secrets: [SECRET] },
    timeoutMs: 5_000,
    now: Date.now,
  });
  expect(await nowhere(event, never)).toMatchObject({ result: 'failed' });
});

test('reads Retry-After as seconds and as a date', () => {
  expect(retryAfterOf('120', 0)).toBe(120_000);
  expect(retryAfterOf('999999999', 0)).toBe(3_600_000);
  const now = Date.parse('2026-01-01T00:00:00Z');
  expect(retryAfterOf('Thu, 01 Jan 2026 00:00:30 GMT', now)).toBe(30_000);
  expect(retryAfterOf('soon', now)).toBeUndefined();
  expect(retryAfterOf(null, now)).toBeUndefined();
});

describe('the configuration', () => {
  const check = (endpoint: object, allowHttp = false) => {
    const whole = {
      name: 'shop',
      url: 'https://shop.example/hook',
      secrets: [SECRET],
      kinds: ['read'],
      ...endpoint,
    };
    checkWebhooks(webhookConfig.parse({ endpoints: [whole], allowHttp }), ['read']);
  };

  test('says in one line what is wrong', () => {
    const faults: [object, string][] = [
      [{ url: 'shop' }, 'webhook.endpoints[0].url is no URL'],
      [{ url: 'http://shop.example/' }, 'must be https://'],
      [{ url: 'http://127.evil.example/' }, 'must be https://'],
      [{ url: 'ftp://127.0.0.1/' }, 'must be https://'],
      [{ url: 'https://me:word@shop.example/' }, 'holds a user or password'],
      [{ secrets: ['whsec_c2hvcnQ='] }, 'webhook.endpoints[0].secrets[0] is not whsec_'],
      [{ kinds: ['offline'] }, 'offline is not written: add it to events.kinds'],
    ];
    for (const [endpoint, message] of faults) expect(() => check(endpoint)).toThrow(message);
  });

  test('takes what is right', () => {
    expect(() => check({})).not.toThrow();
    check({ kinds: ['read', 'upstream'] });
    for (const local of ['http://127.0.0.1:8080/', 'http://localhost/', 'http://[::1]:1/'])
      check({ url: local });
    check({ url: 'http://shop.example/' }, true);
  });
});

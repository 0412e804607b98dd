import type { ConnectionKey, NodeId, UserId } from '@halley/protocol/ids';
import { HalleyError } from '@halley/protocol/error';
import { silentLogger } from '@halley/service/log';
import { Metrics } from '@halley/service/metrics';
import { beforeEach, describe, expect, test } from '@jest/globals';
import { Webhook } from 'standardwebhooks';

import type { Asker } from '../client/asker.js';
import { logicMetrics } from '../metrics.js';
import { checkHooks, hooksConfig, SendHook } from './send-hook.js';

const SECRET = `whsec_${Buffer.alloc(32, 1).toString('base64')}`;
const ada: Asker = {
  at: { node: 'comet-1' as NodeId, incarnation: 'i' },
  mid: '1' as UserId,
  key: 'web' as ConnectionKey,
  deadlineMs: 0,
  traceparent: '',
  notGranted: true,
};
const request = {
  clientId: 'x',
  room: '',
  toMid: '2' as UserId,
  operation: 1_000,
  body: Buffer.from('hi'),
  expireAtMs: 0,
  traceparent: '',
};
let asked: { url: unknown; init: RequestInit & { body: string } }[];
let answer: () => Response | Promise<Response>;
let hook: SendHook;

beforeEach(() => {
  asked = [];
  answer = () => Response.json({ allow: true });
  hook = new SendHook({
    config: hooksConfig.parse({
      sendUrl: 'https://shop.example/send',
      sendSecrets: [SECRET],
      sendMaxInFlight: 1,
    }),
    clock: { now: () => Date.now(), monotonicMs: () => 0 },
    metrics: logicMetrics(new Metrics({ process: false })),
    log: silentLogger(),
    fetch: async (url, init) => {
      asked.push({ url, init: init as RequestInit & { body: string } });
      return answer();
    },
  });
});

const refusal = async (): Promise<HalleyError> =>
  hook.require(request, 'c-1', ada).then(
    () => {
      throw new Error('it was allowed');
    },
    (error: unknown) => HalleyError.from(error),
  );

test('asks, signed, with what is to be sent and by whom', async () => {
  await hook.require(request, 'c-1', ada);
  const { url, init } = asked[0]!;
  expect([url, init.method, init.redirect]).toEqual(['https://shop.example/send', 'POST', 'manual']);
  expect(new Webhook(SECRET).verify(init.body, init.headers as Record<string, string>)).toEqual({
    type: 'send',
    data: {
      mid: '1',
      key: 'web',
      comet: 'comet-1',
      message_id: 'c-1',
      client_id: 'x',
      to_mid: '2',
      operation: 1_000,
      body: 'aGk=',
      body_bytes: 2,
    },
  });
  await hook.require({ ...request, room: 'chat://a', toMid: '0' as UserId }, 'c-2', ada);
  expect(JSON.parse(asked[1]!.init.body)).toMatchObject({ data: { room: 'chat://a' } });
});

test('refuses with the reason that it was given', async () => {
  answer = () => Response.json({ allow: false, reason: 'They have blocked you.' });
  expect(await refusal()).toMatchObject({ code: 'send_not_granted', message: 'They have blocked you.' });
  answer = () => Response.json({ allow: false, reason: 'x'.repeat(1_000) });
  expect((await refusal()).message).toHaveLength(200);
});

test.each([
  ['another status', () => new Response('{"allow":true}', { status: 201 })],
  ['no JSON', () => new Response('yes')],
  ['no decision', () => Response.json({ allow: 'yes' })],
  ['a long answer', () => Response.json({ allow: true, more: 'x'.repeat(5_000) })],
  ['none', () => Promise.reject(new TypeError('fetch failed'))],
] as const)('is to be tried again on %s', async (_what, given) => {
  answer = given;
  const error = await refusal();
  expect([error.code, error.retryable]).toEqual(['unavailable', true]);
});

test('asks about no more at once than it may', async () => {
  let open = (_response: Response): void => undefined;
  answer = () => new Promise((resolve) => (open = resolve));
  const first = hook.require(request, 'c-1', ada);
  expect((await refusal()).code).toBe('overloaded');
  open(Response.json({ allow: true }));
  await first;
});

describe('the configuration', () => {
  const check = (hooks: object) => checkHooks(hooksConfig.parse(hooks));

  test('says what is wrong', () => {
    expect(() => check({ sendUrl: 'http://shop.example/' })).toThrow('or set hooks.allowHttp for http://');
    expect(() => check({ sendUrl: 'https://shop.example/' })).toThrow('hooks.sendSecrets is empty');
    expect(() => check({ sendUrl: 'https://shop.example/', sendSecrets: ['x'] })).toThrow(
      'hooks.sendSecrets[0]',
    );
  });

  test('takes what is right', () => {
    for (const hooks of [{}, { sendUrl: 'http://127.0.0.1/', sendSecrets: [SECRET] }])
      expect(() => check(hooks)).not.toThrow();
  });
});

import { encodeFrame } from '@halley/protocol/frame';
import { Operation } from '@halley/protocol/operation';
import { beforeEach, describe, expect, test } from '@jest/globals';

import { FakeClock, settled } from '../../testing/fake-clock.js';
import { eventStream, noContent, problem, ScriptedFetch } from '../../testing/scripted-fetch.js';
import type { Transport, TransportName } from '../transport.js';
import { httpTransport } from './http.js';

let script: ScriptedFetch;
let clock: FakeClock;
let transport: Transport;
let told: string[];

beforeEach(() => {
  script = new ScriptedFetch();
  clock = new FakeClock();
  told = [];
});

const HELLO = new TextEncoder().encode('{"mid":7}');

/** Opens a session, and says hello. */
async function open(name: TransportName, address = 'ws://a:1'): Promise<void> {
  transport = httpTransport(clock, script.fetch)(
    address,
    {
      opened: () => transport.send(encodeFrame({ ver: 1, op: Operation.Auth, seq: 0, body: HELLO })),
      received: (bytes) => void told.push(new TextDecoder().decode(bytes)),
      closed: (code, text) => void told.push(`closed ${code} ${text}`),
    },
    name,
  );
  await settled();
}

function send(text: string): void {
  transport.send(new TextEncoder().encode(text));
}

function answer(number: number, text: string, headers: Readonly<Record<string, string>> = {}): Response {
  return new Response(text, { headers: { 'halley-response': String(number), ...headers } });
}

describe('every request', () => {
  test('has a session of 128 random bits, and the body of operation 7, which goes in no other way', async () => {
    await open('poll');
    await script.waiting('/poll').answer(answer(1, 'welcome'));
    send('a');
    await settled();
    const [first, second] = script.requests;
    expect(first?.headers['Halley-Session']).toMatch(/^[\w-]{22}$/);
    expect(first?.headers['Authorization']).toBe(`Bearer ${Buffer.from(HELLO).toString('base64url')}`);
    expect(second?.headers).toMatchObject(first?.headers ?? {});
    expect(script.requests).toHaveLength(3);
    const { headers } = first ?? {};
    await open('poll');
    expect(script.requests.at(-1)?.headers['Halley-Session']).not.toBe(headers?.['Halley-Session']);
  });

  test.each([
    ['ws://a:1', '/poll'],
    ['wss://a/sub', '/poll'],
    ['https://a/', '/poll'],
    ['wss://a/push/sub', '/push/poll'],
  ])('to %s goes to %s', async (address, path) => {
    await open('poll', address);
    expect(script.requests[0]?.path).toMatch(new RegExp(`^${path}\\?after=0&`));
  });

  test('is made to an address only', () => {
    const events = { opened: () => undefined, received: () => undefined, closed: () => undefined };
    expect(() => httpTransport(clock, script.fetch)('ws://', events, 'sse')).toThrow('Invalid URL');
  });
});

describe('server-sent events', () => {
  let stream: ReturnType<typeof eventStream>;

  async function streaming(): Promise<void> {
    stream = eventStream();
    await open('sse');
    await script.waiting('/sse').answer(stream.response);
  }

  test('bring frames, however they are cut; comments bring nothing', async () => {
    await streaming();
    for (const piece of [
      ': open\n',
      '\nda',
      'ta: b25l\n\n:\n\ndata:dHd',
      'v\r\n\r\n',
      'data: dGhyZWU=\n\n',
    ]) {
      await stream.write(piece);
    }
    expect(told).toEqual(['one', 'two', 'three']);
  });

  test('tell the close code', async () => {
    await streaming();
    await stream.write('data: b25l\n\nevent: close\ndata: {"code":3503,"reason":"Elsewhere."}\n\n');
    expect(told).toEqual(['one', 'closed 3503 Elsewhere.']);
    expect(clock.pending).toBe(0);
  });

  test.each(['data: %%%\n\n', 'event: close\ndata: {\n\n'])('that are none end it: %j', async (text) => {
    await streaming();
    await stream.write(text);
    expect(told).toHaveLength(1);
    expect(told[0]).toMatch(/^closed undefined \S/);
  });

  test('of another name are of a later version', async () => {
    await streaming();
    await stream.write('event: hint\ndata: 7\n\n');
    expect(told).toEqual([]);
  });

  test('that end are a connection that ended', async () => {
    await streaming();
    stream.end();
    await settled();
    expect(told).toEqual(['closed undefined The stream of events ended.']);
  });

  test.each([
    [() => problem(409, 'session_in_use'), 'HTTP 409: session_in_use No.'],
    [
      () => new Response('<p>Sign in', { headers: { 'content-type': 'text/html' } }),
      'The answer is no stream of events.',
    ],
    [() => new Response('<p>Bad gateway', { status: 502 }), 'HTTP 502: <p>Bad gateway'],
  ])('that do not come: %#', async (response, text) => {
    await open('sse');
    await script.waiting('/sse').answer(response());
    expect(told).toEqual([`closed undefined ${text}`]);
  });

  test.each<[TransportName, string, number]>([
    ['sse', 'unavailable', 3002],
    ['poll', 'unavailable', 3002],
    ['sse', 'overloaded', 3006],
  ])(
    'or %s refused by the server itself for now, as %s, have a close code',
    async (name, code, closeCode) => {
      await open(name);
      await script.waiting(`/${name}`).answer(problem(503, code));
      expect(told).toEqual([`closed ${closeCode} HTTP 503: ${code} No.`]);
    },
  );

  test('that nobody answers', async () => {
    await open('sse');
    await script.waiting('/sse').fail();
    expect(told).toEqual(['closed undefined fetch failed']);
  });
});

describe('polls', () => {
  test('say which answer was the last one, and go on after those that have nothing', async () => {
    await open('poll');
    await script.waiting('/poll').answer(answer(1, 'one'));
    await clock.advance(25_000);
    await script.waiting('/poll').answer(noContent());
    await script.waiting('/poll').answer(answer(2, 'two'));
    expect(told).toEqual(['one', 'two']);
    expect(script.paths()).toEqual([0, 1, 1, 2].map((after) => `/poll?after=${after}&wait_ms=25000`));
  });

  test('are repeated when the answer is lost', async () => {
    await open('poll');
    await script.waiting('/poll').answer(answer(1, 'one'));
    await script.waiting('/poll').fail();
    await clock.advance(250);
    await script.waiting('/poll').answer(answer(2, 'two'));
    expect(told).toEqual(['one', 'two']);
    expect(script.paths().map((path) => path.slice(0, 13))).toEqual(
      [0, 1, 1, 2].map((after) => `/poll?after=${after}`),
    );
  });

  test('that hang are repeated too, and asked to wait for less', async () => {
    await open('poll');
    await script.waiting('/poll').answer(answer(1, 'one'));
    await clock.advance(30_500);
    expect(script.waiting('/poll').path).toBe('/poll?after=1&wait_ms=12500');
    await clock.advance(5_000);
    await script.waiting('/poll').answer(new Response('', { status: 504 }));
    await clock.advance(1_000);
    expect(script.waiting('/poll').path).toBe('/poll?after=1&wait_ms=6250');
    expect(told).toEqual(['one']);
  });

  test('that somebody in between cuts off after two seconds ask to wait for a second, in whole milliseconds', async () => {
    await open('poll');
    await script.waiting('/poll').answer(answer(1, 'one'));
    const asked: string[] = [];
    for (let turn = 0; turn < 6; turn += 1) {
      asked.push(script.waiting('/poll').path.split('wait_ms=')[1] ?? '');
      await clock.advance(2_000);
      await script.waiting('/poll').answer(new Response('', { status: 504 }));
      while (script.requests.every(({ done }) => done)) await clock.advance(100);
    }
    expect(asked).toEqual(['25000', '12500', '6250', '3125', '1562', '1000']);
  });

  test('are given up when they go on failing, for another connection', async () => {
    await open('poll');
    await script.waiting('/poll').answer(answer(1, 'one'));
    for (let second = 0; second < 8 && told.length < 2; second += 1) {
      await clock.advance(1_000);
      if (script.requests.some(({ done }) => !done)) await script.waiting('/poll').fail();
    }
    expect(told).toEqual(['one', 'closed undefined fetch failed']);
  });

  test('ask a server that is away every second at least, and learn soon that it knows no session any more', async () => {
    await open('poll');
    await script.waiting('/poll').answer(answer(1, 'one'));
    for (let tenth = 0; tenth < 25; tenth += 1) {
      if (script.requests.some(({ done }) => !done)) await script.waiting('/poll').fail();
      await clock.advance(100);
    }
    expect(told).toEqual(['one']);
    await clock.advance(1_000);
    await script.waiting('/poll').answer(new Response('', { status: 404 }));
    expect(told).toEqual(['one', 'closed undefined HTTP 404: ']);
  });

  test('are not repeated ahead of the first answer', async () => {
    await open('poll');
    await script.waiting('/poll').fail();
    expect(told).toEqual(['closed undefined fetch failed']);
  });

  test('tell the close code with the last frames', async () => {
    await open('poll');
    const close = { 'halley-close': '3000', 'halley-close-reason': 'It%20drains%2E' };
    await script.waiting('/poll').answer(answer(1, 'last', close));
    expect(told).toEqual(['last', 'closed 3000 It drains.']);
  });

  test.each([
    [() => problem(404, 'session_unknown'), 'HTTP 404: session_unknown No.'],
    [() => answer(3, 'x'), 'The answer is not the next one of the session.'],
    [() => new Response('<p>Sign in'), 'The answer is not the next one of the session.'],
  ])('are answered by somebody else: %#', async (response, text) => {
    await open('poll');
    await script.waiting('/poll').answer(answer(1, 'one'));
    await script.waiting('/poll').answer(response());
    expect(told).toEqual(['one', `closed undefined ${text}`]);
  });

  test('that are answered with nothing at once are no busy loop', async () => {
    await open('poll');
    for (let turn = 0; turn < 200; turn += 1) {
      if (script.requests.some(({ done }) => !done)) await script.waiting('/poll').answer(noContent());
      await clock.advance(100);
    }
    // 20 seconds.
    expect(script.requests.length).toBeLessThan(12);
  });
});

describe('what is sent', () => {
  beforeEach(async () => {
    await open('poll');
    await script.waiting('/poll').answer(answer(1, 'welcome'));
    told = [];
  });

  const posts = (): readonly string[] =>
    script.requests
      .filter(({ method }) => method === 'POST')
      .map(({ path, body }) => `${path} ${new TextDecoder().decode(body)}`);

  test('goes one request at a time, and what comes meanwhile together in the next', async () => {
    send('a');
    send('b');
    await settled();
    send('c');
    send('d');
    await settled();
    expect(posts()).toEqual(['/send?n=1 ab']);
    await script.waiting('/send').answer(noContent());
    expect(posts()).toEqual(['/send?n=1 ab', '/send?n=2 cd']);
    await script.waiting('/send').answer(noContent());
    send('e');
    await settled();
    expect(posts().at(-1)).toBe('/send?n=3 e');
    expect(script.waiting('/send').headers['Content-Type']).toBe('application/octet-stream');
  });

  test('is cut between frames where it would be too much for one request', async () => {
    for (const text of ['a', 'b', 'c']) send(text.repeat(2_000));
    send('d'.repeat(5_000));
    await settled();
    const lengths: number[] = [];
    for (let turn = 0; turn < 3; turn += 1) {
      const request = script.waiting('/send');
      lengths.push(request.body.length);
      await request.answer(noContent());
    }
    expect(lengths).toEqual([4_000, 2_000, 5_000]);
  });

  test('is repeated under its number until it is known to have arrived', async () => {
    send('a');
    await settled();
    await script.waiting('/send').fail();
    await clock.advance(250);
    await script.waiting('/send').answer(new Response('', { status: 503 }));
    send('b');
    await clock.advance(500);
    await script.waiting('/send').answer(noContent());
    expect(posts()).toEqual(['/send?n=1 a', '/send?n=1 a', '/send?n=1 a', '/send?n=2 b']);
  });

  test('is given up after some seconds', async () => {
    send('a');
    for (let second = 0; second < 12 && told.length === 0; second += 1) {
      await clock.advance(1_000);
      if (script.requests.some(({ method, done }) => method === 'POST' && !done)) {
        await script.waiting('/send').fail();
      }
    }
    expect(told).toEqual(['closed undefined fetch failed']);
  });

  test('and refused ends it, as the way down says if it says something', async () => {
    send('a');
    await settled();
    await script.waiting('/send').answer(problem(404, 'session_unknown'));
    expect(told).toEqual([]);
    send('b');
    await script
      .waiting('/poll')
      .answer(answer(2, '', { 'halley-close': '3503', 'halley-close-reason': '' }));
    expect(told).toEqual(['closed 3503 ']);
    expect(posts()).toHaveLength(1);
  });

  test('and refused ends it soon where the way down says nothing', async () => {
    send('a');
    await settled();
    await script.waiting('/send').answer(problem(409, 'send_out_of_order'));
    await clock.advance(2_000);
    expect(told).toEqual(['closed undefined HTTP 409: send_out_of_order No.']);
    expect(script.requests.every(({ done }) => done)).toBe(true);
  });

  test('and is far too much ends it', async () => {
    send('a');
    await settled();
    for (let mib = 0; mib < 17; mib += 1) transport.send(new Uint8Array(1_048_576));
    await clock.advance(2_000);
    expect(told).toEqual(['closed undefined Too much waits to be sent.']);
  });

  test('ahead of close goes out ahead of its end', async () => {
    send('a');
    transport.close();
    await settled();
    expect(script.paths('DELETE')).toEqual([]);
    await script.waiting('/send').answer(noContent());
    expect(script.paths('DELETE')).toEqual(['/session']);
    expect(told).toEqual([]);
    await script.waiting('/session').answer(noContent());
    expect(told).toEqual(['closed undefined ']);
    await settled();
    expect(script.requests.every(({ done }) => done)).toBe(true);
    expect(clock.pending).toBe(0);
  });

  test('and does not arrive is not waited for when it is closed', async () => {
    send('a');
    transport.close();
    await clock.advance(2_000);
    expect(told).toEqual(['closed undefined ']);
    expect(script.requests.every(({ done }) => done)).toBe(true);
  });
});

test('closed ahead of its opening it asks nobody', async () => {
  const opening = open('sse');
  transport.close();
  await opening;
  expect(told).toEqual(['closed undefined ']);
  expect(script.requests).toEqual([]);
});

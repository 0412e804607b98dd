import { expect, test } from '@jest/globals';

import { HABITS } from '../device/habit.js';
import { Random } from '../random.js';
import { parseAddresses } from './addresses.js';
import { decodeBody, encodeBody } from './body.js';
import { drawCrowd } from './crowd.js';

test('a crowd is the same for the same seed, but for what tells its run apart', () => {
  const size = { users: 10, rooms: 3, restlessPercent: 50, clients: ['goim', 'sdk'] as const };
  const draw = (seed: number, run?: string) => drawCrowd(size, new Random(seed), run);
  expect(draw(1, 'a')).toEqual(draw(1, 'a'));
  expect(draw(1, 'a').devices).not.toEqual(draw(2, 'a').devices);
  expect(draw(1).run).not.toBe(draw(1).run);
  const { devices, streams } = draw(1, 'zzzzzzzzzz');
  expect(devices.length).toBe(13);
  expect(streams.length).toBe(14);
  expect(new Set(devices.map(({ key }) => key)).size).toBe(13);
  expect(new Set(devices.map(({ mid }) => mid)).size).toBe(10);
  expect(devices.filter(({ habit }) => habit === 'stays').length).toBe(6);
  expect(devices.filter(({ client }) => client === 'sdk').length).toBe(6);
  expect(new Set(devices.map(({ habit }) => habit))).toEqual(new Set(HABITS));
  const sdk = drawCrowd({ ...size, users: 40 }, new Random(1)).devices.filter(
    ({ client }) => client === 'sdk',
  );
  expect(new Set(sdk.map(({ transport }) => transport))).toEqual(
    new Set(['tcp', 'websocket', 'sse', 'poll']),
  );
  expect(new Set(sdk.map(({ moves }) => moves))).toEqual(new Set([true, false]));
  for (const { mid } of devices) expect(mid > 2n ** 53n && mid < 2n ** 63n).toBe(true);
});

test('a body is read as it was written, and not when a byte of it is missing', () => {
  const body = { run: 'a1', stream: 'user-3', number: 12, padding: 4 };
  const text = encodeBody(body);
  expect(text).toBe('a1/user-3/12/4/....');
  expect(decodeBody(text)).toEqual(body);
  expect(decodeBody(text.slice(0, -1))).toBeUndefined();
  expect(decodeBody('hello')).toBeUndefined();
  expect(decodeBody(encodeBody({ ...body, stream: 'everyone', padding: 0 }))?.stream).toBe('everyone');
});

test('addresses are hosts with the usual ports, or one of a kind each', () => {
  expect(parseAddresses(['10.0.0.1'])).toEqual({
    tcp: ['tcp://10.0.0.1:3101'],
    websocket: ['ws://10.0.0.1:3102/sub'],
    grpc: ['10.0.0.1:3119'],
    http: ['http://10.0.0.1:3111'],
  });
  expect(parseAddresses(['ws://a:1/sub', 'grpc://b:2'])).toEqual({
    tcp: [],
    websocket: ['ws://a:1/sub'],
    grpc: ['b:2'],
    http: [],
  });
  expect(() => parseAddresses(['grpc://b:2'])).toThrow('names no comet');
  expect(() => parseAddresses(['tcp://b:2'])).toThrow('names no logic');
  expect(() => parseAddresses(['b:2'])).toThrow('b:2 is no address');
});

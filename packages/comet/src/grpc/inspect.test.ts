import { afterEach, expect, test } from '@jest/globals';

import { CometHarness, until } from '../testing/harness.js';
import { inspect } from './inspect.js';

let harness: CometHarness | undefined;
afterEach(() => harness?.stop());

const entry = (stream: string, position: number, more: object = {}) => ({
  stream,
  epoch: 'e1',
  position: String(position),
  keys: [],
  operation: 1_000,
  ...more,
});

test('tells how far each connection is with an entry, and counts those that it does not tell of', async () => {
  harness = await CometHarness.start();
  const { logic, comet } = harness;
  const { epoch } = logic.streams.start('u/7', undefined);
  const phone = await harness.version2({ mid: 7, key: 'phone', accepts: [1_000] });
  await harness.tcpOf({ mid: 7, key: 'old', accepts: [1_000] });
  await harness.tcpOf({ mid: 7, key: 'deaf', accepts: [1] });
  await until(() => comet.table.size === 3);
  const look = (position: number, more: object = {}, most = 10) => {
    const asked = entry('u/7', position, { epoch, ...more });
    const request = { comet_incarnation: 'i1', entries: [asked, entry('u/8', 1)], max_connections: most };
    const [found, nobody] = inspect(request, { streams: comet.streams, incarnation: 'i1' }).streams ?? [];
    expect(nobody).toEqual({ counts: {}, connections: [] });
    const states = Object.fromEntries((found?.connections ?? []).map(({ key, state }) => [key, state]));
    return { states, counts: found?.counts, connections: found?.connections };
  };
  const { last } = comet.table.get('phone' as never)!.inbox!;
  expect(look(last).states).toEqual({ phone: 'earlier', old: 'earlier', deaf: 'not_accepted' });
  expect(look(last + 1).states).toEqual({ phone: 'waiting', old: 'waiting', deaf: 'not_accepted' });
  expect(look(last + 1, { keys: ['phone'] }).states).toMatchObject({
    old: 'other_devices',
    deaf: 'other_devices',
  });
  expect(look(last + 1, { epoch: 'another' }).states).toMatchObject({ phone: 'earlier' });
  expect(look(last + 1, {}, 1)).toMatchObject({ counts: { waiting: 2, not_accepted: 1 } });
  expect(look(last + 1, {}, 1).connections).toHaveLength(1);
  expect(look(last + 1).connections?.find(({ key }) => key === 'phone')).toMatchObject({
    mid: '7',
    transport: 'tcp',
    version: 2,
    live: true,
    acknowledged_position: last,
  });
  expect(phone).toBeDefined();
});

test('one start of a comet does not answer for another, and not for too much', async () => {
  harness = await CometHarness.start();
  const { streams } = harness.comet;
  const request = { comet_incarnation: 'i0', entries: [], max_connections: 1 };
  expect(() => inspect(request, { streams, incarnation: 'i1' })).toThrow(
    expect.objectContaining({ code: 'wrong_incarnation' }),
  );
  const many = { ...request, comet_incarnation: 'i1', entries: Array(1_001).fill(entry('u/1', 1)) };
  expect(() => inspect(many, { streams, incarnation: 'i1' })).toThrow(/^entries: 1001/);
});

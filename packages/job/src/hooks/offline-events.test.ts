import { eventCodec } from '@halley/cluster/grpc/event-codec';
import { HalleyError } from '@halley/protocol/error';
import type { ConnectionKey } from '@halley/protocol/ids';
import { type Bus, Topic } from '@halley/store/bus/bus';
import { afterEach, beforeEach, expect, test } from '@jest/globals';

import { GROUP, Rig, until } from '../testing/rig.js';

let rig: Rig;

beforeEach(async () => {
  rig = await Rig.open();
});
afterEach(async () => {
  await rig.close();
});

const events = ['offline'] as const;
const committed = async () => (await rig.bus.lag(GROUP, Topic.Push)) === 0;
const written = async () => (await rig.read(Topic.Events)).map(({ value }) => eventCodec.decode(value));
const told = async () =>
  (await written()).map(({ mid, offline }) => `${offline?.message_id} to ${mid}`).toSorted();

test('a durable push to a user who is not there is told once, with what it says', async () => {
  const comet = await rig.comet('c1');
  await rig.connect('1', 'a', comet);
  await rig.job({ events });
  await rig.push('there', { users: ['1'] });
  await rig.push('away', { users: ['2'], expire_at_ms: 4_102_444_800_000 });
  await rig.push('a body above the limit', { users: ['3'] });
  await rig.push('not kept', { users: ['4'], class: 'CLASS_EPHEMERAL' });
  await rig.push('room', { rooms: ['r'] });
  await rig.push('too late', { users: ['5'], expire_at_ms: 1 });
  await until(committed);
  expect(await told()).toEqual(['a body above the limit to 3', 'away to 2']);
  const [away, large] = (await written()).toSorted((a, b) => Number(a.mid) - Number(b.mid));
  expect(away).toMatchObject({
    id: expect.stringMatching(/^offline-[\w-]{22}$/),
    mid: '2',
    kind: 'offline',
    offline: {
      operation: 1_000,
      body: Buffer.from('away'),
      body_bytes: 4,
      expire_at_ms: '4102444800000',
      stream: 'u/2',
      epoch: rig.bus.epoch,
      from_mid: '0',
    },
  });
  expect(large?.offline?.body).toBeFalsy();
  expect(large?.offline?.body_bytes).toBe(22);
});

test('who has another device there is offline for what is for one that is not; a sender is not told of its own', async () => {
  const comet = await rig.comet('c1');
  await rig.connect('1', 'a', comet);
  await rig.job({ events });
  await rig.push('other device', { keys: ['b'], key_owners: ['1'] });
  await rig.push('this device', { keys: ['a'], key_owners: ['1'] });
  await rig.push('own', { users: ['9'], sender: { mid: '9', key: 'k', client_id: 'c', to_mid: '1' } });
  await until(committed);
  expect(await told()).toEqual(['other device to 1']);
});

test('a push is not done before its event is durable, and a job that takes over tells the same', async () => {
  let away = true;
  const produce: Bus['produce'] = async (topic, records) => {
    if (topic === Topic.Events && away) throw new HalleyError('bus_unknown');
    return rig.bus.produce(topic, records);
  };
  const first = await rig.job({ events, produce });
  await rig.push('m', { users: ['1'] });
  await until(async () => (await rig.streamOf('1')).length === 1);
  await until(async () => (await rig.count('halley_events_write_failures_total')) > 0);
  expect(await committed()).toBe(false);
  await first.kill();
  away = false;
  await rig.job({ events });
  await until(committed);
  expect(await told()).toEqual(['m to 1']);
});

test('what another job had taken in is not told when a device has acknowledged it since', async () => {
  const shut: Bus['produce'] = async (topic, records) => {
    if (topic === Topic.Events) throw new HalleyError('bus_unknown');
    return rig.bus.produce(topic, records);
  };
  const first = await rig.job({ events, produce: shut });
  await rig.push('seen', { users: ['1'] });
  await rig.push('not seen', { users: ['1'] });
  await until(async () => (await rig.streamOf('1')).length === 2);
  await until(async () => (await rig.count('halley_events_write_failures_total')) > 0);
  await first.kill();
  const [{ position } = { position: 0 }] = (await rig.readStream('u/1', -1)).entries;
  const { epoch } = rig.bus;
  const key = 'a' as ConnectionKey;
  await rig.streams.saveCursors([{ stream: 'u/1', epoch, position, key, owner: '1', ttlMs: 60_000 }]);
  await rig.job({ events });
  await until(committed);
  expect(await told()).toEqual(['not seen to 1']);
});

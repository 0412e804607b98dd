import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';

import { NOTHING_TOLD } from '../testing/fake-streams.js';
import { CometHarness } from '../testing/harness.js';
import type { Delivered } from './deliverer.js';

const origin = { epoch: 'e', topic: 't', partition: 0 };
const delivery = (position: number, fields: Partial<Delivered> = {}): Delivered => ({
  ...NOTHING_TOLD,
  position,
  operation: 5,
  body: Buffer.from(`${position}`),
  control: false,
  keys: ['k'],
  rooms: [],
  everyone: false,
  speed: 0,
  source: '',
  streams: [],
  withoutBody: false,
  ...fields,
});

describe('a delivery', () => {
  let harness: CometHarness;
  beforeEach(async () => {
    harness = await CometHarness.start();
  });
  afterEach(() => harness.stop());

  const dropped = (reason: string): Promise<number> =>
    harness.metric('halley_comet_messages_dropped_total', { reason });

  test('that cannot be delivered costs only itself', async () => {
    const client = await harness.tcpOf({ mid: 1, key: 'k', accepts: [5] });
    const { deliverer } = harness.comet;
    deliverer.deliver(origin, delivery(1));
    deliverer.deliver(origin, delivery(2, { body: undefined as unknown as Uint8Array }));
    deliverer.deliver(origin, delivery(3, { rooms: null as unknown as string[] }));
    deliverer.deliver(origin, delivery(4));
    expect(await client.texts(3)).toEqual(['5:1', '5:3', '5:4']);
    expect(await dropped('fault')).toBe(2);
  });

  test("that a second job took from goim's topic once more is dropped", async () => {
    const client = await harness.tcpOf({ mid: 1, key: 'k', accepts: [5] });
    const { deliverer } = harness.comet;
    deliverer.deliver(origin, delivery(1, { source: '0:7:100' }));
    deliverer.deliver(origin, delivery(2, { source: '0:8:100' }));
    deliverer.deliver(origin, delivery(3, { source: '0:7:100' }));
    deliverer.deliver(origin, delivery(4, { source: '0:8:100' }));
    // Another target of the same message, and a topic that was made anew.
    deliverer.deliver({ ...origin, partition: 1 }, delivery(5, { source: '0:8:100' }));
    deliverer.deliver(origin, delivery(6, { source: '0:7:200' }));
    deliverer.deliver(origin, delivery(7));
    deliverer.deliver(origin, delivery(8));
    expect(await client.texts(6)).toEqual(['5:1', '5:2', '5:5', '5:6', '5:7', '5:8']);
    expect(await dropped('duplicate')).toBe(2);
  });

  test('for who is not here, or is late, or was had, is counted by its reason', async () => {
    const { deliverer } = harness.comet;
    deliverer.deliver(origin, delivery(1, { keys: ['nobody'], rooms: ['none'] }));
    deliverer.deliver(origin, delivery(2, { expireAtMs: Date.now() - 1 }));
    deliverer.deliver(origin, delivery(2));
    expect(await dropped('not_here')).toBe(2);
    expect(await dropped('expired')).toBe(1);
    expect(await dropped('duplicate')).toBe(1);
  });
});

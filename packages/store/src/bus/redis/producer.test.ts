import { silentLogger } from '@halley/service/log';
import { systemClock } from '@halley/service/clock';
import { expect, test } from '@jest/globals';

import { busConfig } from '../config.js';
import { busMetrics } from '../metrics.js';
import type { RedisBusConnection } from './client.js';
import { RedisBusKeys } from './keys.js';
import { RedisProducer } from './producer.js';

/** A producer of which the attempts end as the script says: an answer of produce.lua, or an error. */
function producerOf(...script: (string[] | Error)[]): { producer: RedisProducer; lost: () => number } {
  let lost = 0;
  const run = async (): Promise<string[]> => {
    const next = script.shift() ?? new Error('nothing more is expected');
    if (next instanceof Error) throw next;
    return next;
  };
  const producer = new RedisProducer({
    config: busConfig.parse({}),
    keys: new RedisBusKeys(''),
    connection: { run } as unknown as RedisBusConnection,
    log: silentLogger(),
    clock: systemClock,
    metrics: busMetrics(undefined),
    epoch: () => 'e',
    makeRoom: async () => false,
    onLost: () => (lost += 1),
  });
  return { producer, lost: () => lost };
}

const records = [{ partition: 0, key: '', value: new Uint8Array(1) }];

test('what finds the data gone is refused', async () => {
  const { producer, lost } = producerOf(['lost']);
  await expect(producer.produce('t', records)).rejects.toMatchObject({ code: 'bus_refused' });
  expect(lost()).toBe(1);
});

test('what finds the data gone is unknown when an earlier attempt may have written it', async () => {
  const { producer, lost } = producerOf(new Error('Command timed out'), ['lost']);
  await expect(producer.produce('t', records)).rejects.toMatchObject({ code: 'bus_unknown' });
  expect(lost()).toBe(1);
});

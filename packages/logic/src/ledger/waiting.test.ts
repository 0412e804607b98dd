import { expect, test } from '@jest/globals';
import { HalleyError } from '@halley/protocol/error';

import { WaitingPushes } from './waiting.js';

test('what waits on the bus is told, asked for seldom; a bus that is away is told too', async () => {
  const lags: Record<string, number> = { 'b halley-bulk': 1_200, 'p halley-push': 0 };
  let asked = 0;
  let now = 0;
  const waiting = new WaitingPushes({
    bus: {
      lag: async (group, topic) => {
        asked += 1;
        const lag = lags[`${group} ${topic}`];
        if (lag === undefined) throw new HalleyError('bus_unknown');
        return lag;
      },
    },
    pushGroup: 'p',
    bulkGroup: 'b',
    clock: { now: () => now, monotonicMs: () => now },
  });
  const later = (): Promise<string | undefined> => {
    now += 500;
    return waiting.note();
  };
  const inBulk = 'Accepted pushes wait to be taken in (1200 records in halley-bulk): it may be among them.';
  expect(await Promise.all([waiting.note(), waiting.note()])).toEqual([inBulk, inBulk]);
  expect(asked).toBe(2);
  lags['b halley-bulk'] = 0;
  expect(await waiting.note()).toBe(inBulk);
  expect(await later()).toBeUndefined();
  lags['p halley-push'] = 1;
  expect(await later()).toContain('(1 record in halley-push)');
  delete lags['b halley-bulk'];
  expect(await later()).toContain('The bus is away');
});

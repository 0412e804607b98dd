import { expect, test } from '@jest/globals';

import { Wakeup } from './wakeup.js';

test('everyone who waits is woken at once, and who waits from then on at the next time', async () => {
  const wakeup = new Wakeup();
  const woken: string[] = [];
  const waits = [
    wakeup.wait().then(() => woken.push('ever')),
    wakeup.wait(60_000).then(() => woken.push('long')),
  ];
  wakeup.wake();
  await Promise.all(waits);
  expect(woken.toSorted()).toEqual(['ever', 'long']);
  void wakeup.wait().then(() => woken.push('later'));
  await Promise.resolve();
  expect(woken).not.toContain('later');
});

test('without being woken a wait ends by itself, and is not woken again', async () => {
  const wakeup = new Wakeup();
  let woken = 0;
  const ever = wakeup.wait().then(() => (woken += 1));
  await wakeup.wait(1).then(() => (woken += 1));
  expect(woken).toBe(1);
  wakeup.wake();
  await ever;
  expect(woken).toBe(2);
});

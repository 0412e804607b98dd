import { expect, test } from '@jest/globals';

import { LateService } from './late-service.js';
import type { Service } from './lifecycle.js';

function late() {
  const calls: string[] = [];
  const service: Service = {
    name: 'one',
    start: async () => void calls.push('start'),
    stop: async (deadlineMs) => void calls.push(`stop ${deadlineMs}`),
  };
  const group = new LateService('late', async () => {
    calls.push('make');
    return service;
  });
  return { group, calls };
}

test('it is made at its start, and stopped when it was', async () => {
  const { group, calls } = late();
  expect(calls).toEqual([]);
  await group.start();
  await group.stop(7);
  expect(calls).toEqual(['make', 'start', 'stop 7']);
});

test('stopped before its start or while it is made, it is not started', async () => {
  const { group, calls } = late();
  const starting = group.start();
  await group.stop(7);
  await starting;
  expect(calls).toEqual(['make']);
  expect(group.service).toBeUndefined();
});

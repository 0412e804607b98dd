import type { Recurring__Output } from '@halley/cluster/grpc/gen/halley/push/v1/Recurring';
import type { Schedule__Output } from '@halley/cluster/grpc/gen/halley/push/v1/Schedule';
import { expect, test } from '@jest/globals';

import { recurringTable } from './recurring.js';
import { scheduleLines, scheduleTable } from './schedule.js';

const NOW = 1_900_000_000_000;
const schedule = (fields: Partial<Schedule__Output>): Schedule__Output => ({
  id: 'table-7',
  kind: 'SCHEDULE_KIND_PUSH',
  state: 'SCHEDULE_STATE_WAITING',
  deliver_at_ms: String(NOW + 900_000),
  accepted_at_ms: String(NOW),
  fired_at_ms: '0',
  expire_at_ms: '0',
  target: { target: 'users', users: { mids: ['1', '2', '3', '4', '5'] } },
  operation: 1000,
  class: 'DELIVERY_CLASS_DURABLE',
  collapse_key: '',
  retention_ms: '0',
  priority: 'PRIORITY_NORMAL',
  group: '',
  digest_id: '',
  count: 0,
  recurring: '',
  body_bytes: '5',
  body: Buffer.from('hello'),
  ...fields,
});

test('what waits is a table', () => {
  const lines = scheduleTable(
    [
      schedule({}),
      schedule({
        id: 'd',
        kind: 'SCHEDULE_KIND_DIGEST',
        group: 'likes',
        count: 3,
        target: { target: 'room', room: 'r' },
      }),
      schedule({ id: 'm', kind: 'SCHEDULE_KIND_MEMBER', group: 'likes', target: null }),
      schedule({ id: 'o', recurring: 'stand-up', target: { target: 'everyone', everyone: { speed: 0 } } }),
    ],
    NOW,
  );
  expect(lines).toHaveLength(5);
  expect(lines[1]).toMatch(
    /^table-7 +push +waiting +[\d: -]+ \(in 15m\) +users 1, 2, 3 and 2 more +1000 +5$/,
  );
  expect(lines[2]).toContain('digest of 3 in likes');
  expect(lines[3]).toMatch(/in a digest of likes .* - +- +5$/);
  expect(lines[4]).toContain('occurrence of stand-up');
  expect(scheduleTable([], NOW)).toEqual(['Nothing waits.']);
});

test('one that waits is told in full, and cannot steer the terminal', () => {
  const told = scheduleLines(
    schedule({
      expire_at_ms: String(NOW + 960_000),
      retention_ms: '3600000',
      body: Buffer.from('a\u001b[2J'),
    }),
    NOW,
  );
  expect(told.join('\n')).toContain('expires');
  expect(told.join('\n')).toMatch(/retention +1h/);
  expect(told.at(-1)).toMatch(/^body +a\\u001b\[2J$/);
  const digest = scheduleLines(schedule({ kind: 'SCHEDULE_KIND_DIGEST', body: Buffer.alloc(0) }), NOW);
  expect(digest.at(-1)).toMatch(/^body +made of its pushes when it is delivered$/);
});

test('recurring pushes are a table', () => {
  const one: Recurring__Output = {
    name: 'stand-up',
    cron: '55 8 * * 1-5',
    time_zone: '',
    push: null,
    end_at_ms: '0',
    expire_after_ms: '0',
    next_at_ms: String(NOW + 60_000),
    last_at_ms: '0',
    missed: '0',
  };
  const lines = recurringTable([one, { ...one, name: 'over', next_at_ms: '0' }], NOW);
  expect(lines[1]).toMatch(/^stand-up +55 8 \* \* 1-5 +UTC +[\d: -]+ \(in 1m\)/);
  expect(lines[2]).toContain('never: it has ended');
  expect(recurringTable([], NOW)).toEqual(['There is no recurring push.']);
});

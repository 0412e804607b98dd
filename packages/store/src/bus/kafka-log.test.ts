import type { Logger } from '@halley/service/log';
import { describe, expect, test } from '@jest/globals';
import { logLevel } from 'kafkajs';

import { forwardTo, levelOfEnd } from './kafka-log.js';

/** The lines that come of what the client logs. */
function logged(message: string, level: logLevel, attached: object = {}): unknown[] {
  const lines: unknown[] = [];
  const at = (name: string) => (fields: object, msg: string) => lines.push({ level: name, ...fields, msg });
  const log = { warn: at('warn'), debug: at('debug') } as unknown as Logger;
  const line = { timestamp: '', logger: 'kafkajs', message, ...attached };
  forwardTo(log)(logLevel.INFO)({ namespace: 'Connection', level, label: '', log: line });
  return lines;
}

describe("the client's log", () => {
  test.each([
    "The coordinator is loading and hence can't process requests for this group",
    'The group coordinator is not available',
    'There is no leader for this topic-partition as we are in the middle of a leadership election',
    'The group is rebalancing, so a rejoin is needed',
  ])('is for debugging where it passes by itself: %s', (error) => {
    const answer = 'Response GroupCoordinator(key: 10, version: 2)';
    expect(logged(answer, logLevel.ERROR, { error })).toMatchObject([{ level: 'debug', msg: answer }]);
    expect(logged(`Crash: KafkaJSProtocolError: ${error}`, logLevel.ERROR)).toMatchObject([
      { level: 'debug' },
    ]);
  });

  test('warns of every other error', () => {
    const error = 'Not authorized to access topics: [Topic authorization failed]';
    expect(logged('Response Metadata(key: 3, version: 6)', logLevel.ERROR, { error })).toMatchObject([
      { level: 'warn', kafka: 'Connection' },
    ]);
    expect(logged('Connection timeout', logLevel.ERROR)).toMatchObject([{ level: 'warn' }]);
  });

  test('is for debugging below an error', () => {
    expect(logged('Limiting retries', logLevel.WARN)).toMatchObject([{ level: 'debug' }]);
  });

  test('leaves out what is attached', () => {
    expect(JSON.stringify(logged('x', logLevel.ERROR, { error: 'secret', payload: 'secret' }))).not.toContain(
      'secret',
    );
  });
});

describe('the end of a consumer', () => {
  const loading = new Error("The coordinator is loading and hence can't process requests for this group");

  test('is for debugging while it passes by itself, and warned of when it stays', () => {
    expect([1, 2, 3, 4].map((ends) => levelOfEnd(loading, ends))).toEqual([
      'debug',
      'debug',
      'debug',
      'warn',
    ]);
  });

  test('of another kind is warned of at once', () => {
    expect(levelOfEnd(new Error('Not authorized to access group'), 1)).toBe('warn');
    expect(levelOfEnd('no error', 1)).toBe('warn');
  });
});

import { expect, test } from '@jest/globals';
import { Command, CommanderError } from 'commander';

import { targetOf } from './bench.js';
import { addScenarioOptions, benchOptions, type ScenarioOptions } from './bench-options.js';

const TARGET = {
  name: 'here',
  tcp: ['tcp://127.0.0.1:1'],
  websocket: [],
  http: [],
  grpc: [],
  cometGrpc: [],
  processes: [],
};

function parsed(scenario: 'room' | 'users' | 'mixed' | 'connect' | 'idle', ...args: string[]) {
  const command = new Command('bench').exitOverride().configureOutput({ writeErr: () => undefined });
  addScenarioOptions(command, scenario).parse(args, { from: 'user' });
  return command.opts<ScenarioOptions>();
}

const plan = (scenario: Parameters<typeof parsed>[0], ...args: string[]) =>
  benchOptions(scenario, parsed(scenario, ...args), TARGET);

/** What commander says of arguments. */
function complaint(scenario: Parameters<typeof parsed>[0], ...args: string[]): string {
  try {
    parsed(scenario, ...args);
  } catch (error) {
    if (error instanceof CommanderError) return error.message;
    throw error;
  }
  return '';
}

test('without options a scenario has its own defaults; Halley is pushed to in batches, another server by its HTTP', () => {
  expect(plan('room')).toMatchObject({
    connections: 1_000,
    rooms: 1,
    perSecond: 40,
    durationMs: 10_000,
    via: 'batch',
    batch: 1_024,
    inFlight: 1,
    version: 1,
  });
  expect(plan('room', '--target', 'host')).toMatchObject({ via: 'goim', batch: 1 });
  expect(plan('users')).toMatchObject({ rooms: 0, perSecond: 1_000 });
});

test('times are given in seconds, a storm is all handshakes at once', () => {
  expect(plan('room', '--duration', '5', '--warmup', '0', '--settle', '1', '--heartbeat', '0')).toMatchObject(
    {
      durationMs: 5_000,
      warmupMs: 0,
      settleMs: 1_000,
      heartbeatMs: 0,
    },
  );
  expect(plan('connect', '-n', '500', '--storm')).toMatchObject({ connections: 500, atOnce: 500 });
});

test('what goes not together is refused by name', () => {
  expect(() => plan('room', '--via', 'push', '--batch', '5')).toThrow(
    '--batch 5: --via push takes one push a call',
  );
  expect(() => plan('room', '--rooms', '0')).toThrow('--rooms 0: there is nothing to push to');
  expect(() => plan('mixed', '--rooms', '0')).toThrow('--rooms 0 goes with --room-percent 0');
  expect(() => plan('room', '-n', '5', '--rooms', '6')).toThrow('more than there are connections (5)');
});

test('an unknown option names the nearest one, a wrong value what it may be', () => {
  expect(complaint('room', '--rat', '5')).toContain('(Did you mean --rate?)');
  expect(complaint('room', '--via', 'gaim')).toContain(
    'Must be one of goim, comet, push, batch, v1, v1-batch.',
  );
  expect(complaint('room', '--tcp', 'x')).toContain('Must be a port, or host:port');
  expect(complaint('connect', '--rate', '5')).toContain("unknown option '--rate'");
  expect(complaint('idle', '--via', 'goim')).toContain("unknown option '--via'");
});

test('a port is of the host that is named', async () => {
  expect(await targetOf({ target: '192.0.2.1', tcp: '7000', http: '192.0.2.2:7001' })).toMatchObject({
    tcp: ['tcp://192.0.2.1:7000'],
    http: ['192.0.2.2:7001'],
    websocket: ['ws://192.0.2.1:3102/sub'],
  });
  await expect(targetOf({ target: 'a', against: 'b' })).rejects.toThrow('name two servers');
  await expect(targetOf({ against: 'b', tcp: '1' })).rejects.toThrow('--tcp goes with --target');
});

import { EventEmitter } from 'node:events';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

import { afterEach, expect, jest, test } from '@jest/globals';
import { HalleyError } from '@halley/protocol/error';

import type { Service } from './lifecycle.js';
import { silentLogger } from './log.js';
import { type RunOptions, runService } from './run.js';

/** A process whose exit only records the code. */
class FakeProcess extends EventEmitter {
  readonly codes: number[] = [];
  text = '';
  readonly stderr = { write: (text: string) => (this.text += text) };
  exit(code: number): void {
    this.codes.push(code);
  }
}

class FakeService implements Service {
  readonly name = 'fake';
  readonly calls: string[] = [];
  constructor(
    private readonly onStart: () => Promise<void> = async () => undefined,
    private readonly onStop: () => Promise<void> = async () => undefined,
  ) {}
  async start(): Promise<void> {
    this.calls.push('start');
    await this.onStart();
  }
  async stop(): Promise<void> {
    this.calls.push('stop');
    await this.onStop();
  }
}

afterEach(() => {
  jest.restoreAllMocks();
});

function run(service: Service, options: Partial<RunOptions> = {}) {
  const host = new FakeProcess();
  const done = runService(service, { log: silentLogger(), process: host, ...options });
  return { host, done };
}

test.each(['SIGINT', 'SIGTERM'])('%s stops the service and exits with 0', async (signal) => {
  const service = new FakeService();
  const { host, done } = run(service, { onStarted: () => void host.emit(signal, signal) });
  await done;
  expect(service.calls).toEqual(['start', 'stop']);
  expect(host.codes).toEqual([0]);
  expect(host.listenerCount(signal)).toBe(0);
});

test('a repeat of the signal within a second is the same signal', async () => {
  const { host, done } = run(new FakeService(), {
    onStarted: () => {
      host.emit('SIGINT', 'SIGINT');
      host.emit('SIGINT', 'SIGINT');
    },
  });
  await done;
  expect(host.codes).toEqual([0]);
});

test('a later signal exits at once with 1', async () => {
  let now = 5_000;
  jest.spyOn(performance, 'now').mockImplementation(() => now);
  let release: (() => void) | undefined;
  const service = new FakeService(undefined, () => new Promise((resolve) => (release = resolve)));
  const { host, done } = run(service);
  await sleep(5);
  host.emit('SIGTERM', 'SIGTERM');
  await sleep(5);
  now += 1_500;
  host.emit('SIGINT', 'SIGINT');
  expect(host.codes).toEqual([1]);
  release?.();
  await done;
});

test('a signal during the start ends it', async () => {
  const service = new FakeService(() => new Promise(() => undefined));
  const { host, done } = run(service);
  await sleep(5);
  host.emit('SIGINT', 'SIGINT');
  await done;
  expect(service.calls).toEqual(['start', 'stop']);
  expect(host.codes).toEqual([0]);
});

test('a service that does not stop is cut off at the deadline', async () => {
  const service = new FakeService(undefined, () => new Promise(() => undefined));
  const { host, done } = run(service, {
    stopDeadlineMs: 300,
    onStarted: () => void host.emit('SIGTERM', 'SIGTERM'),
  });
  await done;
  expect(host.codes).toEqual([0]);
});

test('a failing start is one line on standard error and exit 1', async () => {
  const service = new FakeService(() =>
    Promise.reject(new HalleyError('bad_config', 'tcp.port is\n  wrong')),
  );
  const { host, done } = run(service);
  await done;
  expect(host.text).toBe('halley: tcp.port is wrong\n');
  expect(host.codes).toEqual([1]);
});

test('a taken port ends the start before anything is opened, naming the holder and the remedy', async () => {
  const holder = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => holder.once('listening', resolve));
  const { port } = holder.address() as AddressInfo;
  const service = new FakeService();
  const { host, done } = run(service, { ports: [{ host: '127.0.0.1', port, use: 'comet TCP', offset: 0 }] });
  await done;
  holder.close();
  expect(service.calls).toEqual([]);
  expect(host.codes).toEqual([1]);
  expect(host.text).toMatch(
    /^halley: comet TCP port 127\.0\.0\.1:\d+ is taken by [^\n]+--port-offset 100\n$/,
  );
});

test.each(['uncaughtException', 'unhandledRejection'])('%s is exit 1', async (event) => {
  const { host, done } = run(new FakeService());
  await sleep(5);
  host.emit(event, new Error('fault'));
  expect(host.codes).toEqual([1]);
  host.emit('SIGINT', 'SIGINT');
  await done;
});

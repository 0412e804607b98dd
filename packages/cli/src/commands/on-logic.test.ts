import { FakeBus } from '@halley/logic/testing/fake-bus';
import { type LogicFixture, startLogic } from '@halley/logic/testing/logic-fixture';
import { HalleyError } from '@halley/protocol/error';
import { afterAll, afterEach, beforeAll, describe, expect, jest, test } from '@jest/globals';

import { createProgram } from '../program.js';

/** The commands against a logic on embedded stores. */
let bus: FakeBus;
let logic: LogicFixture;
beforeAll(async () => {
  bus = new FakeBus();
  logic = await startLogic(bus);
  await logic.stores.dead.add('1', [
    letter(7, 'undecodable', Buffer.from([0, 255])),
    letter(8, 'too_large', Buffer.from('text')),
  ]);
});
afterEach(() => {
  bus.answer = () => 'ok';
  process.exitCode = undefined;
  jest.restoreAllMocks();
});
afterAll(() => logic.stop());

function letter(offset: number, reason: string, value: Buffer) {
  return {
    place: { partition: 0, offset },
    atMs: 1_700_000_000_000 + offset,
    topic: 'halley-push-topic',
    partition: 3,
    offset,
    reason,
    detail: '',
    valueBytes: value.length,
    cut: false,
    key: 'u/1',
    headers: { a: 'b' },
    value,
  };
}

/** Runs a command and answers what it printed, to either stream, and its exit code. */
async function halley(...args: string[]): Promise<{ out: string; err: string; code: number }> {
  const written = { out: '', err: '' };
  jest.spyOn(process.stdout, 'write').mockImplementation((text) => ((written.out += String(text)), true));
  jest.spyOn(process.stderr, 'write').mockImplementation((text) => ((written.err += String(text)), true));
  const address = logic.app.node.addresses.grpc ?? '';
  const at = args.includes('--address') ? [] : ['--address', address];
  await createProgram().parseAsync(['node', 'halley', ...args, ...at]);
  const code = Number(process.exitCode ?? 0);
  jest.restoreAllMocks();
  return { ...written, code };
}

describe('halley push', () => {
  const push = (...args: string[]) =>
    halley('push', '--users', '1', '--operation', '5', '--body', 'b', ...args);

  test('sends every option', async () => {
    const { out, code } = await push(
      '--id',
      'mine',
      '--expire-in',
      '1h',
      '--collapse-key',
      'k',
      '--retention',
      '2h',
      '--bulk',
    );
    expect({ out, code }).toEqual({ out: 'ok mine\n', code: 0 });
    const [sent] = bus.pushes();
    expect(sent).toMatchObject({ id: 'mine', collapse_key: 'k', retention_ms: '7200000' });
    expect(Math.abs(Number(sent?.expire_at_ms) - Date.now() - 3_600_000)).toBeLessThan(60_000);
  });

  test('says what is refused and what is not known, by words, JSON and exit code', async () => {
    const refused = await push('--id', 'x'.repeat(129));
    expect(refused.code).toBe(1);
    expect(refused.err).toBe('halley: refused: invalid_argument: id: 129 characters, more than 128\n');
    bus.answer = () => new HalleyError('bus_unknown');
    const unknown = await push('--id', 'a', '--json');
    expect(unknown.code).toBe(2);
    expect(JSON.parse(unknown.out)).toMatchObject({ outcome: 'unknown', id: 'a', code: 'bus_unknown' });
    const elsewhere = await push('--address', new URL(logic.http).host);
    expect(elsewhere.code).toBe(1);
    expect(elsewhere.err).toMatch(
      /^halley: refused: no_node: there is no gRPC of a logic at [\d.:]+: [^.]+;/,
    );
  });
});

describe('halley schedule', () => {
  const to = ['--users', '1', '--operation', '5', '--body', 'hello'];

  test('shows, lists and cancels what waits', async () => {
    const pushed = await halley('push', ...to, '--delay', '15m', '--id', 'table-7');
    expect(pushed.out).toMatch(/^ok table-7, to be delivered [\d: -]+ \(in 15m\)\n$/);
    const again = await halley('push', ...to, '--delay', '15m', '--id', 'table-7', '--json');
    expect(JSON.parse(again.out)).toMatchObject({
      outcome: 'ok',
      id: 'table-7',
      deliver_at_ms: expect.any(Number),
      duplicate: true,
    });
    await halley('push', ...to, '--group', 'likes', '--window', '10m', '--id', 'like-1');
    const list = await halley('schedule', 'list');
    expect(list.out).toMatch(/^table-7 +push +waiting +/m);
    expect(list.out).toMatch(/^like-1 +in a digest of likes +waiting .* users 1 +5 +\d+$/m);
    expect(list.out).toMatch(/ digest of 1 in likes +waiting .* users 1 +5 +-$/m);
    expect((await halley('schedule', 'show', 'table-7')).out).toMatch(/^body +hello$/m);
    expect((await halley('schedule', 'cancel', 'table-7')).out).toBe('cancelled table-7\n');
    const shown = await halley('schedule', 'show', 'table-7', '--json');
    expect(JSON.parse(shown.out)).toMatchObject({
      kind: 'push',
      state: 'cancelled',
      deliver_at_ms: expect.any(Number),
      target: { users: { mids: ['1'] } },
      class: 'durable',
      body: 'hello',
    });
    const cancelled = await halley('schedule', 'list', '--state', 'cancelled', '--json');
    expect(JSON.parse(cancelled.out)).toMatchObject({ schedules: [{ id: 'table-7' }], next_page: '' });
    await expect(halley('schedule', 'cancel', 'nothing')).rejects.toMatchObject({ code: 'not_found' });
  });

  test('makes, shows, lists and ends recurring pushes', async () => {
    const put = await halley(
      'schedule',
      'put',
      'stand-up',
      '--cron',
      '55 8 * * 1-5',
      ...to,
      '--expire-in',
      '5m',
    );
    expect(put.out).toMatch(/^ok stand-up, next [\d: -]+ \(in /);
    expect((await halley('schedule', 'recurring')).out).toMatch(/^stand-up +55 8 \* \* 1-5 +UTC +/m);
    const shown = await halley('schedule', 'recurring', 'stand-up');
    expect(shown.out).toMatch(/^expires +5m after its time$/m);
    expect(JSON.parse((await halley('schedule', 'recurring', 'stand-up', '--json')).out)).toMatchObject({
      name: 'stand-up',
      expire_after_ms: 300_000,
      missed: 0,
      push: { class: 'durable', target: { users: { mids: ['1'] } }, body: 'hello' },
    });
    expect((await halley('schedule', 'delete', 'stand-up')).out).toBe('deleted stand-up\n');
    await expect(halley('schedule', 'put', 'x', '--cron', '61 * * * *', ...to)).rejects.toMatchObject({
      code: 'invalid_argument',
      message: expect.stringContaining('cron'),
    });
  });
});

describe('halley dead', () => {
  test('lists letters, the newest first, in pages', async () => {
    const { out } = await halley('dead', 'list');
    expect(out.split('\n').map((line) => line.split(/ +/)[0])).toEqual(['ID', '2', '1', '']);
    const page = await halley('dead', 'list', '--limit', '1');
    expect(page.out).toContain('There are more: --before 2');
    const some = await halley('dead', 'list', '--reason', 'undecodable', '--json');
    expect(JSON.parse(some.out)).toMatchObject({
      letters: [{ id: '1', reason: 'undecodable' }],
      more: false,
    });
  });

  test('shows one, with what the record held', async () => {
    expect((await halley('dead', 'show', '1')).out).toMatch(/^value +2 bytes: 00ff$/m);
    expect((await halley('dead', 'show', '2')).out).toMatch(
      /^from +halley-push-topic, partition 3, offset 8$/m,
    );
    expect(JSON.parse((await halley('dead', 'show', '2', '--json')).out)).toMatchObject({
      key: 'u/1',
      headers: { a: 'b' },
      value: 'text',
    });
    await expect(halley('dead', 'show', '99')).rejects.toMatchObject({ code: 'not_found' });
  });

  test('requeues them, each once unless forced', async () => {
    expect(await halley('dead', 'requeue', '1', '2')).toMatchObject({ out: 'ok 1\nok 2\n', code: 0 });
    const again = await halley('dead', 'requeue', '1', '99');
    expect(again.code).toBe(1);
    expect(again.out).toMatch(/^refused 1: already_requeued: .*\nrefused 99: not_found: /);
    bus.answer = () => new HalleyError('bus_unknown');
    const forced = await halley('dead', 'requeue', '1', '--force', '--json');
    expect(JSON.parse(forced.out)).toMatchObject({ id: '1', outcome: 'unknown', code: 'bus_unknown' });
    expect(forced.code).toBe(2);
  });
});

test('halley nodes lists the nodes of a tier', async () => {
  const { out } = await halley('nodes', '--tier', 'comet', '--json');
  expect(JSON.parse(out)).toMatchObject([{ tier: 'comet', id: 'comet-1' }]);
});

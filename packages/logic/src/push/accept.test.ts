import type { PushRequest__Output } from '@halley/cluster/grpc/gen/halley/push/v1/PushRequest';
import { HalleyError } from '@halley/protocol/error';
import type { ConnectionKey, UserId } from '@halley/protocol/ids';
import type { PushException } from '@halley/service/exceptions';
import { silentLogger } from '@halley/service/log';
import { Metrics } from '@halley/service/metrics';
import { EmbeddedRoutes } from '@halley/store/routes/embedded';
import { RecordsTooLarge } from '@halley/store/bus/bus';
import { shardOf, streamOf } from '@halley/store/shard';
import { beforeEach, describe, expect, test } from '@jest/globals';

import { logicMetrics } from '../metrics.js';
import { FakeBus } from '../testing/fake-bus.js';
import { pushRequest, targets } from '../testing/push-request.js';
import { PushAcceptor, type PushOrigin } from './accept.js';
import { Admission } from './admission.js';
import { Durability } from './durability.js';
import { joinErrors, resultOf } from './outcome.js';
import { readPush } from './read-push.js';

const NOW = 1_900_000_000_000;
const MAX_RECORD_BYTES = 1_048_576;
const durability = new Durability({ durableRooms: ['chat://*'], durableAll: true });
const limits = { maxBodyBytes: 100, maxTargets: 10, maxDelayMs: 86_400_000, durability };
const { users, keys, room, everyone } = targets;
const read = (fields: Partial<PushRequest__Output>) => readPush(pushRequest(fields), limits, NOW);
const userPartition = (mid: string) => shardOf(streamOf.user(mid as UserId), 24);

let monotonicMs = 0;
const clock = { now: () => NOW, monotonicMs: () => monotonicMs };
let bus: FakeBus;
let full = false;
let applied: Map<string, number> | undefined = new Map();
let askedFor = 0;
let told: PushException[] = [];
let routes: EmbeddedRoutes;
let acceptor: PushAcceptor;
const metrics = logicMetrics(new Metrics({ process: false }));
const origin = (fields: Partial<PushOrigin> = {}): PushOrigin => ({
  lane: 'a',
  caller: 'shop',
  traceparent: 'trace',
  ...fields,
});
const setUp = (maxInFlight = 100, maxQueuedBytes = 1_000) => {
  bus = new FakeBus();
  routes = new EmbeddedRoutes({ leaseMs: 60_000 });
  const admission = new Admission({ maxInFlight, maxQueuedBytes, clock });
  full = false;
  told = [];
  acceptor = new PushAcceptor({
    bus,
    routes,
    streams: {
      full: () => full,
      appliedAt: async (stream, caller, id) => {
        askedFor += 1;
        if (!applied) throw new HalleyError('store_unavailable');
        return applied.get(`${stream} ${caller} ${id}`);
      },
    },
    exceptions: { tell: (exception) => told.push(exception) },
    admission,
    maxRecordBytes: MAX_RECORD_BYTES,
    clock,
    log: silentLogger(),
    metrics,
  });
};
const claim = (mid: string, key: string) =>
  routes.claim({
    mid: mid as UserId,
    key: key as ConnectionKey,
    at: { node: 'c' as never, incarnation: '1' },
    counter: 1,
  });
beforeEach(() => setUp());

describe('records', () => {
  test('a push to users is one record per partition, naming all its users there', async () => {
    const mids = ['1', '2', '3', '-9223372036854775808', '9223372036854775807'];
    await acceptor.accept(read({ target: users(...mids), id: 'x', expire_at_ms: String(NOW + 1) }), origin());
    const pushes = bus.pushes();
    expect(new Set(pushes.map(({ partition }) => partition)).size).toBe(pushes.length);
    for (const push of pushes) {
      expect(push.users.map(userPartition)).toEqual(push.users.map(() => push.partition));
      expect(push).toMatchObject({
        id: 'x',
        operation: 1000,
        body: Buffer.from('hello'),
        class: 'CLASS_DURABLE',
        accepted_at_ms: String(NOW),
        expire_at_ms: String(NOW + 1),
        traceparent: 'trace',
        caller: 'shop',
        everyone: false,
      });
    }
    expect(pushes.flatMap((push) => push.users).toSorted()).toEqual(mids.toSorted());
  });

  test('a room and everyone are one record each', async () => {
    await acceptor.accept(read({ target: room('live://1') }), origin());
    await acceptor.accept(read({ target: everyone(7) }), origin());
    expect(bus.pushes()).toEqual([
      expect.objectContaining({
        rooms: ['live://1'],
        class: 'CLASS_EPHEMERAL',
        partition: shardOf('r/live://1', 24),
      }),
      expect.objectContaining({ everyone: true, speed: 7, partition: shardOf('all', 24) }),
    ]);
  });

  test('keys go with their user; anonymous and unknown ones, and all while the store is away, by themselves', async () => {
    await claim('7', 'seven');
    await claim('0', 'anonymous');
    await acceptor.accept(read({ target: keys('seven', 'anonymous', 'unknown') }), origin());
    const partitionOf = (key: string) => bus.pushes().find((push) => push.keys.includes(key))?.partition;
    expect(partitionOf('seven')).toBe(userPartition('7'));
    expect(partitionOf('anonymous')).toBe(shardOf('k/anonymous', 24));
    expect(partitionOf('unknown')).toBe(shardOf('k/unknown', 24));

    routes.owners = () => Promise.reject(new HalleyError('store_unavailable'));
    bus.calls.length = 0;
    await acceptor.accept(read({ target: keys('seven') }), origin());
    expect(partitionOf('seven')).toBe(shardOf('k/seven', 24));
  });

  test('say whose each key was when the push was accepted, as that decided where it went', async () => {
    await claim('7', 'one');
    await claim('0', 'anonymous');
    await claim('7', 'two');
    await acceptor.accept(read({ target: keys('one', 'anonymous', 'two', 'unknown') }), origin());
    const owners = bus.pushes().flatMap((push) => {
      expect(push.key_owners).toHaveLength(push.keys.length);
      return push.keys.map((key, index) => [key, push.key_owners[index]]);
    });
    expect(Object.fromEntries(owners)).toEqual({ one: '7', two: '7', anonymous: '0', unknown: '0' });
    const ofSeven = bus.pushes().find((push) => push.keys.includes('one'));
    expect(ofSeven?.keys).toContain('two');

    bus.calls.length = 0;
    await acceptor.accept(read({ target: users('7') }), origin());
    expect(bus.pushes()[0]).toMatchObject({ keys: [], key_owners: [] });
  });

  test('small pushes of a batch share records, in order; a large one stands alone', async () => {
    setUp(10_000, 10_000_000);
    const many = Array.from({ length: 1_500 }, (_, index) => read({ target: room('a'), id: String(index) }));
    expect(await acceptor.acceptAll(many, origin())).toEqual(many.map(() => undefined));
    expect(bus.calls).toHaveLength(2);
    expect(bus.pushes().map(({ id }) => id)).toEqual(many.map(({ id }) => id as string));

    bus.calls.length = 0;
    const large = { ...read({ target: room('a') }), body: Buffer.alloc(300_000) };
    await acceptor.acceptAll([large, large, large], origin());
    expect(bus.calls).toHaveLength(3);
  });
});

describe('order', () => {
  test('pushes without keys reach the bus before the call returns', () => {
    void acceptor.accept(read({ target: users('1'), id: 'a' }), origin());
    void acceptor.accept(read({ target: room('r'), id: 'b' }), origin());
    expect(bus.pushes().map(({ id }) => id)).toEqual(['a', 'b']);
  });

  test('a slow look-up of keys holds back later pushes of the same caller only', async () => {
    let answer: ((owners: ReadonlyMap<ConnectionKey, UserId>) => void) | undefined;
    routes.owners = () => new Promise((resolve) => (answer = resolve));
    const first = acceptor.accept(read({ target: keys('k'), id: 'by key' }), origin());
    const second = acceptor.accept(read({ target: users('1'), id: 'by user' }), origin());
    await acceptor.accept(read({ target: users('1'), id: 'other caller' }), origin({ lane: 'b' }));
    expect(bus.pushes().map(({ id }) => id)).toEqual(['other caller']);
    answer?.(new Map());
    await Promise.all([first, second]);
    const third = acceptor.accept(read({ target: users('1'), id: 'at once again' }), origin());
    expect(bus.pushes().map(({ id }) => id)).toEqual(['other caller', 'by key', 'by user', 'at once again']);
    await third;
  });

  test('look-ups that overtake each other do not reorder', async () => {
    const answers: (() => void)[] = [];
    routes.owners = () => new Promise((resolve) => answers.push(() => resolve(new Map())));
    const all = ['a', 'b', 'c'].map((id) => acceptor.accept(read({ target: keys(id), id }), origin()));
    for (const answer of answers.toReversed()) answer();
    await Promise.all(all);
    expect(bus.pushes().map(({ id }) => id)).toEqual(['a', 'b', 'c']);
  });

  test('a push does not wait for the one before it to be written', async () => {
    bus.answer = undefined;
    const first = acceptor.accept(read({ target: users('1') }), origin());
    const second = acceptor.accept(read({ target: users('1') }), origin());
    expect(bus.calls).toHaveLength(2);
    for (const call of bus.calls) call.resolve();
    await Promise.all([first, second]);
  });
});

describe('outcomes', () => {
  const refused = new HalleyError('bus_refused');
  const unknown = new HalleyError('bus_unknown');

  test('a push of which every part was refused is refused, of which some is unknown', () => {
    expect(joinErrors([undefined, undefined])).toBeUndefined();
    expect(joinErrors([refused, refused])?.code).toBe('bus_refused');
    expect(joinErrors([undefined, refused])?.code).toBe('bus_unknown');
    expect(joinErrors([refused, unknown])?.code).toBe('bus_unknown');
    expect(joinErrors([])).toBeUndefined();
  });

  test('partitions that fail decide about the pushes that have targets there', async () => {
    const failing = userPartition('1');
    const other = ['2', '3', '4', '5'].find((mid) => userPartition(mid) !== failing) ?? '';
    bus.answer = ({ partition }) => (partition === failing ? refused : 'ok');
    const answers = await acceptor.acceptAll(
      [read({ target: users('1') }), read({ target: users(other) }), read({ target: users('1', other) })],
      origin(),
    );
    expect(answers.map((error) => resultOf('', error).outcome)).toEqual([
      'OUTCOME_REFUSED',
      'OUTCOME_OK',
      'OUTCOME_UNKNOWN',
    ]);
    await expect(acceptor.accept(read({ target: users('1') }), origin())).rejects.toBe(refused);
  });

  test('a deadline that passed is refused just before the bus, also when it passed while keys were looked up', async () => {
    monotonicMs = 10;
    await expect(
      acceptor.accept(read({ target: users('1') }), origin({ deadlineMs: 10 })),
    ).rejects.toMatchObject({ code: 'deadline_exceeded' });
    routes.owners = async () => {
      monotonicMs = 21;
      return new Map();
    };
    await expect(
      acceptor.accept(read({ target: keys('k') }), origin({ deadlineMs: 20 })),
    ).rejects.toMatchObject({ code: 'deadline_exceeded' });
    expect(bus.calls).toEqual([]);
    await acceptor.accept(read({ target: users('1') }), origin({ deadlineMs: 99 }));
    expect(bus.calls[0]?.options).toEqual({ deadlineMs: 99 });
  });
});

describe('what the bus would refuse for its size', () => {
  const body = (bytes: number) => ({ body: Buffer.alloc(bytes) });
  const push = (mids: readonly string[], bytes: number) => ({
    ...read({ target: users(...mids) }),
    ...body(bytes),
  });
  beforeEach(() => setUp(100, 100 * MAX_RECORD_BYTES));

  test('is refused for good, naming the limit, and is in no partition at all', async () => {
    const long = (count: number) =>
      Array.from({ length: count }, (_, index) => `${index}${'x'.repeat(4_000)}` as ConnectionKey);
    await claim('7', 'other');
    routes.owners = async (list) =>
      new Map(list.map((key) => [key, (key === 'other' ? '8' : '7') as UserId]));
    const tooMany = read({ target: keys('other') });
    const target = { kind: 'keys' as const, keys: ['other' as ConnectionKey, ...long(300)] };
    await expect(acceptor.accept({ ...tooMany, target }, origin())).rejects.toMatchObject({
      code: 'invalid_argument',
      retryable: false,
      message: expect.stringMatching(/^target and body: .*bus\.maxRecordBytes \(1048576\)/),
    });
    expect(bus.calls).toEqual([]);
    await acceptor.accept({ ...tooMany, target: { kind: 'keys', keys: long(200) } }, origin());
    expect(bus.calls).toHaveLength(1);
  });

  test('costs others of its batch nothing', async () => {
    const batch = [
      push(['1'], 10),
      push(['1'], MAX_RECORD_BYTES),
      push(['2'], 20),
      push(['1'], MAX_RECORD_BYTES - 1_000),
    ];
    const answers = await acceptor.acceptAll(batch, origin());
    expect(answers.map((error) => error?.code)).toEqual([
      undefined,
      'invalid_argument',
      undefined,
      undefined,
    ]);
    expect(
      bus
        .pushes()
        .map(({ id }) => id)
        .toSorted(),
    ).toEqual([batch[0], batch[2], batch[3]].map((one) => String(one?.id)).toSorted());
    expect(resultOf('', answers[1]).outcome).toBe('OUTCOME_REFUSED');
  });

  test('is refused for good also when the brokers allow less than is configured', async () => {
    bus.answer = () => new RecordsTooLarge(1);
    await expect(acceptor.accept(push(['1'], 1_000), origin())).rejects.toMatchObject({
      code: 'invalid_argument',
    });
    // Together with others: each may fit alone.
    bus.answer = () => new HalleyError('bus_refused', undefined, { cause: new RecordsTooLarge(2) });
    await expect(acceptor.accept(push(['1'], 1_000), origin())).rejects.toMatchObject({
      code: 'bus_refused',
      retryable: true,
    });
  });
});

test('while the store of streams is full every push is refused, with a hint, and none is written', async () => {
  full = true;
  const answers = await acceptor.acceptAll(
    [read({ target: users('1') }), read({ target: room('r') })],
    origin(),
  );
  for (const error of answers) {
    expect(error).toMatchObject({ code: 'store_full', retryable: true, retryAfterMs: expect.any(Number) });
    expect(resultOf('', error).outcome).toBe('OUTCOME_REFUSED');
  }
  expect(bus.calls).toEqual([]);
  full = false;
  await acceptor.accept(read({ target: users('1') }), origin());
  expect(bus.calls).toHaveLength(1);
});

describe('admission', () => {
  test('more pushes or bytes than allowed are refused with a hint, and let in again later', async () => {
    setUp(2, 1_000);
    bus.answer = undefined;
    const first = acceptor.accept(read({ target: room('a') }), origin());
    const second = acceptor.accept(read({ target: room('a') }), origin());
    await expect(acceptor.accept(read({ target: room('a') }), origin())).rejects.toMatchObject({
      code: 'overloaded',
      retryAfterMs: expect.any(Number),
    });
    expect(bus.calls).toHaveLength(2);
    for (const call of bus.calls) call.resolve();
    await Promise.all([first, second]);
    bus.answer = () => 'ok';
    await acceptor.accept(read({ target: room('a') }), origin());

    setUp(100, 150);
    bus.answer = undefined;
    void acceptor.accept(read({ target: room('a'), body: Buffer.alloc(100) }), origin());
    await expect(
      acceptor.accept(read({ target: room('a'), body: Buffer.alloc(51) }), origin()),
    ).rejects.toMatchObject({ code: 'overloaded' });
  });
});

test('a push that expires while it waits for its turn is refused, and told of', async () => {
  const expired = { ...read({ target: users('1'), id: 'late' }), expireAtMs: NOW };
  const [first, second] = await acceptor.acceptAll([expired, read({ target: users('1') })], origin());
  expect(first).toMatchObject({ code: 'invalid_argument', message: 'expire_at_ms: has passed' });
  expect(second).toBeUndefined();
  expect(bus.pushes()).toHaveLength(1);
  expect(told).toEqual([{ id: 'late', caller: 'shop', kind: 'refused', reason: 'expired' }]);
});

test('bulk pushes go to a topic of their own, in order and packed as the others are', async () => {
  const bulk = (id: string) => read({ target: users('1'), id, priority: 'PRIORITY_BULK' });
  const normal = (id: string) => read({ target: users('1'), id });
  const tooMuch = { ...bulk('large'), body: Buffer.alloc(MAX_RECORD_BYTES) };
  const answers = await acceptor.acceptAll(
    [bulk('a'), normal('b'), tooMuch, bulk('c'), normal('d')],
    origin(),
  );
  expect(answers.map((error) => error?.code)).toEqual([
    undefined,
    undefined,
    'invalid_argument',
    undefined,
    undefined,
  ]);
  expect(bus.calls.map(({ topic, records }) => [topic, records[0]?.partition])).toEqual([
    ['halley-push', userPartition('1')],
    ['halley-bulk', userPartition('1')],
  ]);
  expect(bus.pushes().map(({ id }) => id)).toEqual(['b', 'd', 'a', 'c']);
  bus.answer = () => new HalleyError('bus_refused');
  const failed = await acceptor.acceptAll([bulk('e'), normal('f')], origin());
  expect(failed.map((error) => error?.code)).toEqual(['bus_refused', 'bus_refused']);
});

describe('a repeat is told as a duplicate', () => {
  const accept = async (fields: Partial<PushRequest__Output>) => {
    const duplicates: string[] = [];
    await acceptor.accept(read(fields), origin({ onDuplicate: ({ id }) => duplicates.push(id) }));
    return duplicates;
  };
  beforeEach(() => {
    applied = new Map([
      ['u/1 shop a', 7],
      ['r/chat://1 shop a', 7],
      ['all shop a', 7],
      ['u/5 shop a', 7],
    ]);
  });

  test('where the id was taken in, and is written all the same', async () => {
    await claim('5', 'phone');
    for (const target of [users('1', '2'), room('chat://1'), keys('gone', 'phone')])
      expect(await accept({ target, id: 'a' })).toEqual(['a']);
    const all = { target: everyone(), id: 'a', class: 'DELIVERY_CLASS_DURABLE' as const };
    expect(await accept(all)).toEqual(['a']);
    expect(new Set(bus.pushes().map(({ id }) => id))).toEqual(new Set(['a']));
  });

  test('and nothing is asked for an id that logic gave, or that is not kept, or of nobody known', async () => {
    applied = new Map();
    expect(await accept({ target: users('1'), id: 'a' })).toEqual([]);
    const asked = askedFor;
    expect(await accept({ target: users('1') })).toEqual([]);
    expect(await accept({ target: room('other'), id: 'a' })).toEqual([]);
    expect(await accept({ target: keys('gone'), id: 'a' })).toEqual([]);
    expect(askedFor).toBe(asked);
  });

  test('unless the store is away', async () => {
    applied = undefined;
    expect(await accept({ target: users('1'), id: 'a' })).toEqual([]);
    expect(bus.pushes()).toHaveLength(1);
  });
});

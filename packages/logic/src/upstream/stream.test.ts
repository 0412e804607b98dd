import type { Upstream__Output } from '@halley/cluster/grpc/gen/halley/push/v1/Upstream';
import { silentLogger } from '@halley/service/log';
import { Metrics } from '@halley/service/metrics';
import { beforeEach, describe, expect, test } from '@jest/globals';

import { logicMetrics } from '../metrics.js';
import { FakeBus } from '../testing/fake-bus.js';
import { upstreamCodec, UpstreamWriter } from './receive.js';
import { UpstreamStream } from './stream.js';

const metrics = logicMetrics(new Metrics({ process: false }));
const record = (id: string) => upstreamCodec.encode({ mid: '1', id, proto: { ver: 1, op: 4, seq: 1 } });
const settle = () => new Promise((resolve) => setTimeout(resolve, 5));

let bus: FakeBus;
let sent: string[];
const open = async (window = 10) => {
  const stream = new UpstreamStream({
    bus,
    group: 'g',
    window,
    send: async (message: Upstream__Output) => void sent.push(message.id),
    log: silentLogger(),
    metrics,
  });
  await stream.start();
  return stream;
};
const commits = (consumer = 0) => bus.consumers[consumer]?.commits;

beforeEach(() => {
  bus = new FakeBus();
  sent = [];
});

describe('a stream of upstream messages', () => {
  test('joins the group under its own prefix', async () => {
    await open();
    expect(bus.consumers[0]?.options).toMatchObject({
      group: 'halley-upstream-g',
      topics: ['goim-receive-topic'],
    });
  });

  test('commits what is acknowledged without a gap below it', async () => {
    const stream = await open();
    await bus.deliver(3, ['a', 'b', 'c'].map(record), 40);
    expect(sent).toEqual(['a', 'b', 'c']);
    stream.acknowledge(['b']);
    expect(commits()).toEqual([]);
    stream.acknowledge(['a', 'unknown', 'a']);
    await settle();
    expect(commits()).toEqual([[3, 42]]);
    stream.acknowledge(['c']);
    await settle();
    expect(commits()?.at(-1)).toEqual([3, 43]);
  });

  test('sends no more than the window unacknowledged, over all partitions', async () => {
    const stream = await open(2);
    void bus.deliver(0, ['a', 'b'].map(record));
    void bus.deliver(1, ['c', 'd'].map(record));
    await settle();
    expect(sent).toHaveLength(2);
    stream.acknowledge(sent.slice(0, 1));
    await settle();
    expect(sent).toHaveLength(3);
    stream.acknowledge(sent);
    await settle();
    expect(sent.toSorted()).toEqual(['a', 'b', 'c', 'd']);
  });

  test('leaves uncommitted what was not acknowledged when it stops', async () => {
    const stream = await open();
    await bus.deliver(0, ['a', 'b'].map(record));
    stream.acknowledge(['a']);
    await stream.stop(100);
    expect(commits()).toEqual([[0, 1]]);
    expect(bus.consumers[0]?.stopped).toBe(true);
  });

  test('a batch that waits for room ends with the stream', async () => {
    const stream = await open(1);
    const batch = bus.deliver(0, ['a', 'b'].map(record));
    await settle();
    await stream.stop(100);
    await batch;
    expect(sent).toEqual(['a']);
  });

  test('a partition that goes to another member frees its room and is not committed', async () => {
    const stream = await open(2);
    const lost = bus.deliver(0, ['a', 'b', 'c'].map(record));
    await settle();
    bus.consumers[0]?.options.onRevoked?.([{ topic: 'goim-receive-topic', partition: 0 }]);
    await lost;
    expect(sent).toEqual(['a', 'b']);
    await bus.deliver(1, ['x'].map(record));
    stream.acknowledge(['a', 'b', 'x']);
    await settle();
    expect(sent).toEqual(['a', 'b', 'x']);
    expect(commits()).toEqual([[1, 1]]);
  });

  test('a partition that comes back begins where it was committed', async () => {
    const stream = await open();
    await bus.deliver(0, ['a', 'b'].map(record));
    bus.consumers[0]?.options.onRevoked?.([{ topic: 'goim-receive-topic', partition: 0 }]);
    await bus.deliver(0, ['a', 'b'].map(record));
    expect(sent).toEqual(['a', 'b', 'a', 'b']);
    stream.acknowledge(['a', 'b']);
    await settle();
    expect(commits()).toEqual([[0, 2]]);
  });

  test('passes over what is no message, and takes one without an id', async () => {
    const stream = await open();
    await bus.deliver(0, [Buffer.from([0xff, 0xff]), record('')], 7);
    expect(sent).toEqual(['0:8']);
    stream.acknowledge(['0:8']);
    await settle();
    expect(commits()?.at(-1)).toEqual([0, 9]);
  });

  test('a message that was written twice is acknowledged twice', async () => {
    const stream = await open();
    await bus.deliver(0, ['a', 'a'].map(record));
    stream.acknowledge(['a']);
    await settle();
    expect(commits()?.at(-1)).toEqual([0, 2]);
  });
});

describe('what clients send', () => {
  const clock = { now: () => 1_900_000_000_000, monotonicMs: () => 0 };

  test('is written keyed by user, with a unique id and the time', async () => {
    const writer = new UpstreamWriter({ bus, clock, metrics });
    const proto = { ver: 1, op: 4, seq: 9, body: Buffer.from('hi') };
    const id = await writer.receive({ mid: '9007199254740993', key: 'k', server: 's', roomId: 'r', proto });
    const [call] = bus.calls;
    expect(call).toMatchObject({ topic: 'goim-receive-topic', records: [{ key: '9007199254740993' }] });
    expect(upstreamCodec.decode(call?.records[0]?.value ?? Buffer.alloc(0))).toEqual({
      mid: '9007199254740993',
      key: 'k',
      server: 's',
      room_id: 'r',
      proto,
      received_at_ms: '1900000000000',
      id,
    });
    expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7/);
  });

  test('keeps the id that its caller gave, so that a repeat can be told', async () => {
    const writer = new UpstreamWriter({ bus, clock, metrics });
    const message = {
      mid: '1',
      key: 'k',
      server: 's',
      roomId: '',
      proto: { ver: 1, op: 4, seq: 1, body: Buffer.from('') },
    };
    expect(await writer.receive({ ...message, id: 'given' })).toBe('given');
    expect(upstreamCodec.decode(bus.calls[0]?.records[0]?.value ?? Buffer.alloc(0)).id).toBe('given');
  });

  test('without a proto is refused, and the bus decides about the rest', async () => {
    const writer = new UpstreamWriter({ bus, clock, metrics });
    const message = { mid: '1', key: '', server: '', roomId: '' };
    await expect(writer.receive({ ...message, proto: null })).rejects.toMatchObject({
      code: 'invalid_argument',
    });
    bus.answer = () => new Error('no');
    const proto = { ver: 1, op: 4, seq: 9, body: Buffer.alloc(0) };
    await expect(writer.receive({ ...message, proto })).rejects.toThrow('no');
  });
});

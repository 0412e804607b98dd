import { describe, expect, test } from '@jest/globals';
import { HalleyError } from '@halley/protocol/error';
import { ProduceQueue, type LaneBatch } from './produce-queue.js';

function setUp(options: { maxQueuedBytes?: number; maxBatchBytes?: number; maxWaitMs?: number } = {}) {
  let nowMs = 0;
  const sent: LaneBatch[][] = [];
  const levels: number[] = [];
  const blocked = new Set<number>();
  const queue = new ProduceQueue({
    clock: { now: () => nowMs, monotonicMs: () => nowMs },
    maxQueuedBytes: 1_000_000,
    maxBatchBytes: 100_000,
    maxWaitMs: 1_000,
    lingerMs: 0,
    send: (batches) => sent.push([...batches]),
    blocked: (_topic, partition) => blocked.has(partition),
    onQueuedBytes: (bytes) => levels.push(bytes),
    ...options,
  });
  return { queue, sent, levels, blocked, advance: (ms: number) => (nowMs += ms) };
}

function record(partition: number, value: string) {
  return { partition, key: 'k', value: Buffer.from(value) };
}

function texts(batch: LaneBatch | undefined): string[] {
  return (batch?.records ?? []).map(({ value }) => Buffer.from(value).toString());
}

function turn(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}

describe('lanes', () => {
  test('join what comes while one is in flight into the next', async () => {
    const { queue, sent } = setUp();
    const first = queue.produce('t', [record(0, 'a')]);
    await turn();
    const others = ['b', 'c', 'd'].map((value) => queue.produce('t', [record(0, value)]));
    await turn();
    expect(sent.length).toBe(1);
    sent[0]?.[0]?.done(7);
    expect(await first).toEqual([{ partition: 0, offset: 7 }]);
    await turn();
    expect(texts(sent[1]?.[0])).toEqual(['b', 'c', 'd']);
    sent[1]?.[0]?.done(10);
    expect(await Promise.all(others)).toEqual([10, 11, 12].map((offset) => [{ partition: 0, offset }]));
  });

  test('join records that say their entries, and answer each call with the offset of the record that has its own', async () => {
    const { queue, sent } = setUp();
    const entry = (value: string) => ({ ...record(0, value), entries: 1 });
    void queue.produce('t', [entry('a')]);
    await turn();
    const calls = [
      [entry('b'), entry('c')],
      [entry('d')],
      [record(0, 'e')],
      [{ ...entry('f'), headers: { h: '1' } }, entry('g')],
      [{ ...entry('h'), entries: 1_024 }, entry('i')],
      [entry('j')],
    ].map((records) => queue.produce('t', records));
    sent[0]?.[0]?.done(0);
    await turn();
    const batch = sent[1]?.[0];
    expect(texts(batch)).toEqual(['bcd', 'e', 'f', 'g', 'h', 'ij']);
    expect(batch?.records.map(({ entries }) => entries)).toEqual([3, undefined, 1, 1, 1_024, 2]);
    expect(batch?.given).toBe(9);
    batch?.done(10);
    expect((await Promise.all(calls)).map((written) => written.map(({ offset }) => offset))).toEqual([
      [10, 10],
      [10],
      [11],
      [12, 13],
      [14, 15],
      [15],
    ]);
  });

  test('don’t join records to more than half a megabyte', async () => {
    const { queue, sent } = setUp({ maxBatchBytes: 2_000_000 });
    const entry = { partition: 0, key: 'k', value: Buffer.alloc(300_000), entries: 1 };
    void queue.produce('t', [entry, entry]);
    await turn();
    expect(sent[0]?.[0]?.records.length).toBe(2);
  });

  test('of several partitions go out together, and don’t wait for each other', async () => {
    const { queue, sent } = setUp();
    void queue.produce('t', [record(0, 'a')]);
    void queue.produce('t', [record(1, 'b')]);
    await turn();
    expect(sent[0]?.map((batch) => batch.partition)).toEqual([0, 1]);
    void queue.produce('t', [record(0, 'c')]);
    void queue.produce('t', [record(1, 'd')]);
    sent[0]?.[1]?.done(0);
    await turn();
    expect(sent[1]?.map((batch) => batch.partition)).toEqual([1]);
  });

  test('hold batches to their size, but a larger record goes alone', async () => {
    const { queue, sent } = setUp({ maxBatchBytes: 500 });
    const produced = queue.produce('t', [
      record(0, 'x'.repeat(200)),
      record(0, 'y'.repeat(900)),
      record(0, 'z'),
    ]);
    for (let round = 0; round < 3; round += 1) {
      await turn();
      sent[round]?.[0]?.done(round);
    }
    expect(sent.map(([batch]) => batch?.records.length)).toEqual([1, 1, 1]);
    expect((await produced).map(({ offset }) => offset)).toEqual([0, 1, 2]);
  });

  test('that are blocked wait until they are asked again', async () => {
    const { blocked, queue, sent } = setUp();
    blocked.add(0);
    void queue.produce('t', [record(0, 'a')]);
    await turn();
    expect(sent).toEqual([]);
    blocked.clear();
    queue.retry();
    await turn();
    expect(texts(sent[0]?.[0])).toEqual(['a']);
  });
});

describe('outcomes', () => {
  test('of a call over several partitions are told as one: unknown when some were written', async () => {
    const { queue, sent } = setUp();
    const produced = queue.produce('t', [record(0, 'a'), record(1, 'b')]);
    await turn();
    sent[0]?.[0]?.done(0);
    sent[0]?.[1]?.fail(new HalleyError('bus_refused'));
    await expect(produced).rejects.toMatchObject({ code: 'bus_unknown' });
  });

  test('are refused when none was written, and unknown wins', async () => {
    const { queue, sent } = setUp();
    const refused = queue.produce('t', [record(0, 'a'), record(1, 'b')]);
    await turn();
    for (const batch of sent[0] ?? []) batch.fail(new HalleyError('bus_refused'));
    await expect(refused).rejects.toMatchObject({ code: 'bus_refused' });
    const unknown = queue.produce('t', [record(0, 'a'), record(1, 'b')]);
    await turn();
    sent[1]?.[0]?.fail(new HalleyError('bus_unknown'));
    sent[1]?.[1]?.fail(new HalleyError('bus_refused'));
    await expect(unknown).rejects.toMatchObject({ code: 'bus_unknown' });
  });
});

describe('bounds', () => {
  test('bytes are counted until they are answered, and more are overloaded', async () => {
    const { levels, queue, sent } = setUp({ maxQueuedBytes: 1_000 });
    const taken = queue.produce('t', [record(0, 'x'.repeat(800))]);
    await expect(queue.produce('t', [record(0, 'x'.repeat(800))])).rejects.toMatchObject({
      code: 'overloaded',
    });
    await turn();
    await expect(queue.produce('t', [record(1, 'x'.repeat(800))])).rejects.toMatchObject({
      code: 'overloaded',
    });
    sent[0]?.[0]?.done(0);
    await taken;
    expect(levels.at(-1)).toBe(0);
    void queue.produce('t', [record(0, 'x'.repeat(800))]);
    expect(queue.queuedBytes).toBeGreaterThan(800);
  });

  test('a deadline that passes while the lane is busy ends the wait', async () => {
    const { advance, queue, sent } = setUp();
    void queue.produce('t', [record(0, 'a')]);
    await turn();
    const late = queue.produce('t', [record(0, 'b')], { deadlineMs: 100 });
    advance(200);
    await expect(late).rejects.toMatchObject({ code: 'deadline_exceeded' });
    sent[0]?.[0]?.done(0);
    await turn();
    expect(sent.length).toBe(1);
  });

  test('what waits too long for its lane is refused', async () => {
    const { advance, queue } = setUp({ maxWaitMs: 500 });
    void queue.produce('t', [record(0, 'a')]);
    await turn();
    const waiting = queue.produce('t', [record(0, 'b')]);
    advance(600);
    await expect(waiting).rejects.toMatchObject({ code: 'bus_refused' });
  });

  test('closing refuses what waits, and what comes', async () => {
    const { queue, sent } = setUp();
    const flying = queue.produce('t', [record(0, 'a')]);
    await turn();
    const waiting = queue.produce('t', [record(0, 'b')]);
    queue.close();
    await expect(waiting).rejects.toMatchObject({ code: 'bus_refused' });
    await expect(queue.produce('t', [record(0, 'c')])).rejects.toMatchObject({ code: 'bus_refused' });
    sent[0]?.[0]?.done(3);
    expect(await flying).toEqual([{ partition: 0, offset: 3 }]);
  });
});

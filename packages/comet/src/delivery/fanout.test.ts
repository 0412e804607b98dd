import { Duplex } from 'node:stream';

import { describe, expect, test } from '@jest/globals';
import { decodeMessage } from '@halley/protocol/decoder';
import type { PushException } from '@halley/service/exceptions';
import { Metrics } from '@halley/service/metrics';

import { CometMetrics } from '../comet-metrics.js';
import { DEFAULT_FANOUT_LIMITS, Fanout } from './fanout.js';
import { Lane, type Receiver } from './lane.js';
import { outgoing } from './outgoing.js';
import { Outbox, OutboxLedger } from './outbox.js';

/** A receiver that remembers what it was sent. */
class Sink extends Duplex implements Receiver {
  roomSlot = -1;
  everyoneSlot = -1;
  readonly format = 0;
  readonly outbox: Outbox;
  readonly writes: Buffer[] = [];

  constructor(
    ledger: OutboxLedger,
    readonly accepts: ReadonlySet<number> = new Set(),
  ) {
    super();
    this.outbox = new Outbox(this, ledger);
  }

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.writes.push(chunk);
    done();
  }

  override _read(): void {}

  get texts(): string[] {
    return this.writes.flatMap((chunk) =>
      decodeMessage(chunk, { maxBodyBytes: 10_000_000 }).map(({ body }) => Buffer.from(body).toString()),
    );
  }
}

const ledger = new OutboxLedger({ maxBytes: 1_000_000, maxTotalBytes: 100_000_000 });
const metrics = new CometMetrics(new Metrics({ process: false }));
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
const push = (text: string, op = 1) => outgoing(op, Buffer.from(text));

function laneOf(members: readonly Sink[], kind: 'room' | 'everyone' = 'room'): Lane {
  const lane = new Lane(kind, kind === 'room' ? 'r/r' : 'all');
  for (const member of members) lane.roster.add(member);
  return lane;
}

describe('the fan-out', () => {
  test('a push leaves in the same turn of the loop, and pushes of one tick in one buffer shared by all', async () => {
    const members = [new Sink(ledger), new Sink(ledger)];
    const fanout = new Fanout(metrics);
    const lane = laneOf(members);
    for (const text of ['a', 'b', 'c']) fanout.push(lane, push(text));
    await turn();
    for (const member of members) {
      expect(member.texts).toEqual(['a', 'b', 'c']);
      expect(member.writes).toHaveLength(1);
    }
    expect(members[0]?.writes[0]?.buffer).toBe(members[1]?.writes[0]?.buffer);
    expect(fanout.backlogBytes).toBe(0);
  });

  test('a large room is served in parts, in order, and others take turns with it', async () => {
    const large = Array.from({ length: 2_500 }, () => new Sink(ledger));
    const small = [new Sink(ledger)];
    const fanout = new Fanout(metrics);
    const [largeLane, smallLane] = [laneOf(large), laneOf(small)];
    fanout.push(largeLane, push('first'));
    await turn();
    expect(large.filter((member) => member.writes.length > 0)).toHaveLength(1_000);
    fanout.push(largeLane, push('second'));
    fanout.push(largeLane, push('third'));
    fanout.push(smallLane, push('beside'));
    for (let i = 0; i < 20 && fanout.backlogBytes > 0; i += 1) await turn();
    expect(large.every((member) => member.texts.join() === 'first,second,third')).toBe(true);
    expect(large.every((member) => member.writes.length === 2)).toBe(true);
    expect(small[0]?.texts).toEqual(['beside']);
  });

  test('who joins during a pass gets what was pushed after, and who leaves gets nothing more', async () => {
    const members = Array.from({ length: 1_500 }, () => new Sink(ledger));
    const fanout = new Fanout(metrics);
    const lane = laneOf(members);
    fanout.push(lane, push('before'));
    await turn();
    const late = new Sink(ledger);
    lane.roster.add(late);
    const gone = members.find((member) => member.writes.length === 0) as Sink;
    lane.roster.remove(gone);
    fanout.push(lane, push('after'));
    for (let i = 0; i < 10 && fanout.backlogBytes > 0; i += 1) await turn();
    expect(late.texts).toEqual(['after']);
    expect(gone.texts).toEqual([]);
    expect(members.filter((member) => member !== gone).every((one) => one.texts.length === 2)).toBe(true);
  });

  test('everyone gets what it accepts, encoded once for each selection', async () => {
    const [one, two] = [new Set([1]), new Set([1, 2])];
    const members = [
      new Sink(ledger, one),
      new Sink(ledger, two),
      new Sink(ledger, new Set([2, 1])),
      new Sink(ledger),
    ];
    const fanout = new Fanout(metrics);
    const lane = laneOf(members, 'everyone');
    fanout.push(lane, push('x', 1));
    fanout.push(lane, push('y', 2));
    await turn();
    expect(members.map((member) => member.texts.join())).toEqual(['x', 'x,y', 'x,y', '']);
    expect(members[1]?.writes[0]?.buffer).toBe(members[2]?.writes[0]?.buffer);
  });

  test('what is written is told after it is, in order, and at once when nothing waits', async () => {
    const members = Array.from({ length: 1_500 }, () => new Sink(ledger));
    const fanout = new Fanout(metrics);
    const lane = laneOf(members);
    const told: string[] = [];
    fanout.whenWritten(() => told.push('nothing'));
    expect(told).toEqual(['nothing']);
    fanout.push(lane, push('a'));
    fanout.whenWritten(() => {
      told.push('a');
      expect(members.every((member) => member.texts.includes('a'))).toBe(true);
    });
    await turn();
    fanout.push(lane, push('b'));
    fanout.whenWritten(() => told.push('b'));
    expect(told).toEqual(['nothing']);
    for (let i = 0; i < 10 && fanout.backlogBytes > 0; i += 1) await turn();
    expect(told).toEqual(['nothing', 'a', 'b']);
  });

  test('a backlog above its limit drops the newest, counted; what was taken still goes', async () => {
    const members = [new Sink(ledger), new Sink(ledger)];
    const own = new Metrics({ process: false });
    const fanout = new Fanout(new CometMetrics(own), { ...DEFAULT_FANOUT_LIMITS, maxBacklogBytes: 100 });
    const lane = laneOf(members);
    expect([1, 2, 3, 4].map((i) => fanout.push(lane, push(`${i}`.repeat(20))))).toEqual([
      true,
      true,
      false,
      false,
    ]);
    await turn();
    expect(members[0]?.texts).toEqual(['1'.repeat(20), '2'.repeat(20)]);
    const dropped = await own.registry.getSingleMetric('halley_comet_messages_dropped_total')?.get();
    expect(dropped?.values).toEqual([expect.objectContaining({ value: 4, labels: { reason: 'backlog' } })]);
  });

  test('members that have no room are told of once for each push, with their keys', async () => {
    class Stuck extends Sink {
      constructor(readonly deviceKey: string) {
        super(new OutboxLedger({ maxBytes: 10, maxTotalBytes: 1_000_000 }));
      }

      override _write(): void {}
    }
    const told: PushException[] = [];
    const fanout = new Fanout(metrics, DEFAULT_FANOUT_LIMITS, { tell: (one) => void told.push(one) });
    const lane = laneOf([new Stuck('a'), new Sink(ledger), new Stuck('b')]);
    const about = (id: string) => ({
      id,
      caller: 'orders',
      acceptedAtMs: 0,
      expireAtMs: 0,
      traceparent: '',
      sender: undefined,
    });
    for (const id of ['first', 'second', 'third']) {
      fanout.push(lane, outgoing(1, Buffer.from(id), about(id)));
      // An empty outbox takes any one message.
      if (id === 'first') await turn();
    }
    await turn();
    const dropped = { caller: 'orders', kind: 'dropped', reason: 'room_slow', stream: 'r/r', count: 2 };
    // Members are served in no certain order.
    expect(told.map(({ keys = [], ...one }) => ({ ...one, keys: [...keys].sort() }))).toEqual([
      { ...dropped, id: 'second', keys: ['a', 'b'] },
      { ...dropped, id: 'third', keys: ['a', 'b'] },
    ]);
  });

  test('what expires while it waits for its pass goes to nobody, and the rest to all', async () => {
    const own = new Metrics({ process: false });
    const told: PushException[] = [];
    let now = 1_000;
    const fanout = new Fanout(
      new CometMetrics(own),
      DEFAULT_FANOUT_LIMITS,
      { tell: (exception) => told.push(exception) },
      () => now,
    );
    const members = Array.from({ length: 1_500 }, () => new Sink(ledger, new Set([1])));
    const [room, everyone] = [laneOf(members), laneOf(members, 'everyone')];
    const about = { acceptedAtMs: 1, traceparent: '', sender: undefined };
    const until = (id: string, expireAtMs: number) =>
      outgoing(1, Buffer.from(id), { ...about, id, expireAtMs });
    fanout.push(room, push('first'));
    await turn();
    fanout.push(room, until('late', 1_001));
    fanout.push(room, until('in time', 1_002));
    fanout.push(everyone, until('late for all', 1_001));
    fanout.paced(everyone.roster.snapshot(), until('slow', 1_001), 100);
    now = 1_001;
    let written = false;
    fanout.whenWritten(() => (written = true));
    for (let i = 0; i < 20 && fanout.backlogBytes > 0; i += 1) await turn();
    expect(written).toBe(true);
    expect(
      members.every((member) => ['first,in time', 'slow,first,in time'].includes(member.texts.join())),
    ).toBe(true);
    const expired = { kind: 'expired', reason: 'expired', count: 1_500 };
    expect(told).toHaveLength(2);
    for (const [id, stream] of [
      ['late', 'r/r'],
      ['late for all', 'all'],
    ])
      expect(told).toContainEqual(expect.objectContaining({ ...expired, id, stream }));
    await new Promise((resolve) => setTimeout(resolve, 120));
    expect(told.at(-1)).toMatchObject({ id: 'slow', kind: 'expired' });
    expect(members.at(-1)?.texts).not.toContain('slow');
    const dropped = await own.registry.getSingleMetric('halley_comet_messages_dropped_total')?.get();
    expect(dropped?.values).toEqual([expect.objectContaining({ value: 3, labels: { reason: 'expired' } })]);
    fanout.stop();
  });

  test('a room without members costs nothing and ends', async () => {
    const fanout = new Fanout(metrics);
    fanout.push(laneOf([]), push('x'));
    await turn();
    expect(fanout.backlogBytes).toBe(0);
  });

  test('a broadcast with a speed takes its time, beside others, and leaves out who has gone', async () => {
    const members = Array.from({ length: 30 }, () => new Sink(ledger, new Set([1])));
    const fanout = new Fanout(metrics);
    const lane = laneOf(members, 'everyone');
    fanout.paced(lane.roster.snapshot(), push('slowly'), 100);
    expect(members.filter((member) => member.writes.length > 0).length).toBeLessThan(10);
    const last = members.at(-1) as Sink;
    lane.roster.remove(last);
    fanout.push(lane, push('now'));
    await turn();
    expect(members[20]?.texts).toEqual(['now']);
    await new Promise((resolve) => setTimeout(resolve, 500));
    expect(members[20]?.texts).toEqual(['now', 'slowly']);
    expect(last.texts).toEqual([]);
    fanout.stop();
  });
});

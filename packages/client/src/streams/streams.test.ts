import { Deliver, GapReason, type Ack, type Cursor } from '@halley/protocol/client/bodies';
import { OperationV2 } from '@halley/protocol/operation';
import { describe, expect, test } from '@jest/globals';

import { memoryStore } from '../stores/memory.js';
import { settled } from '../testing/fake-clock.js';
import type { FakeConnection } from '../testing/fake-server.js';
import { AUTH_REPLY } from '../testing/fake-server.js';
import { connectedRig, entryAt, makeRig, positionsOf } from '../testing/harness.js';

const INBOX = { stream: 'u/7', epoch: 'e1' };

function acks(connection: FakeConnection): readonly Cursor[] {
  return connection.of(OperationV2.Ack).flatMap(({ value }) => (value as unknown as Ack).cursors);
}

describe('the rules for a client', () => {
  test('entries are shown in order, once, and acknowledged together after a second', async () => {
    const rig = await connectedRig();
    rig.server.last.deliver({ ...INBOX, after: -1, entries: [entryAt(3), entryAt(8)], through: 9 });
    rig.server.last.deliver({ ...INBOX, after: 9, entries: [entryAt(12)], through: 12 });
    await settled();
    expect(positionsOf(rig)).toEqual([3, 8, 12]);
    expect(acks(rig.server.last)).toEqual([]);
    await rig.clock.advance(1_000);
    expect(acks(rig.server.last)).toEqual([{ ...INBOX, position: 12 }]);
  });

  test('half a window of entries is acknowledged at once', async () => {
    const rig = await connectedRig();
    const entries = Array.from({ length: 32 }, (_, position) => entryAt(position));
    rig.server.last.deliver({ ...INBOX, after: -1, entries, through: 31 });
    await settled();
    expect(acks(rig.server.last)).toEqual([{ ...INBOX, position: 31 }]);
  });

  test('half a window of bytes is acknowledged at once', async () => {
    const rig = await connectedRig();
    const entries = [{ ...entryAt(1), body: new Uint8Array(32_768) }];
    rig.server.last.deliver({ ...INBOX, after: -1, entries, through: 1 });
    await settled();
    expect(acks(rig.server.last)).toEqual([{ ...INBOX, position: 1 }]);
  });

  test('an entry at or below the cursor is dropped', async () => {
    const rig = await connectedRig();
    rig.server.last.deliver({ ...INBOX, after: -1, entries: [entryAt(3), entryAt(8)], through: 8 });
    rig.server.last.deliver({
      ...INBOX,
      after: 2,
      entries: [entryAt(3), entryAt(8), entryAt(9)],
      through: 9,
    });
    await settled();
    expect(positionsOf(rig)).toEqual([3, 8, 9]);
  });

  test('an id that was shown is dropped at another position too', async () => {
    const rig = await connectedRig();
    const again = { ...entryAt(5), id: 'm3' };
    rig.server.last.deliver({ ...INBOX, after: -1, entries: [entryAt(3), again, entryAt(6)], through: 6 });
    await settled();
    expect(positionsOf(rig)).toEqual([3, 6]);
  });

  test('the same id in another stream is another message', async () => {
    const rig = await connectedRig();
    await rig.client.join('live://1');
    rig.server.last.deliver({ ...INBOX, after: -1, entries: [entryAt(3)], through: 3 });
    rig.server.last.deliver({
      stream: 'r/live://1',
      epoch: 'e1',
      after: -1,
      entries: [entryAt(3)],
      through: 3,
    });
    await settled();
    expect(rig.messages.map(({ stream, room }) => [stream, room])).toEqual([
      ['u/7', undefined],
      ['r/live://1', 'live://1'],
    ]);
  });

  test('a frame without entries moves the cursor, and is acknowledged', async () => {
    const rig = await connectedRig();
    rig.server.last.deliver({ ...INBOX, after: -1, through: 20 });
    await rig.clock.advance(1_000);
    expect(acks(rig.server.last)).toEqual([{ ...INBOX, position: 20 }]);
    rig.server.last.cut();
    await rig.clock.advance(1_000);
    expect(rig.server.last.auth?.cursor).toEqual({ epoch: 'e1', position: 20 });
  });

  test('of a frame behind a hole nothing is taken: the client connects again with its cursor', async () => {
    const rig = await connectedRig();
    rig.server.last.deliver({ ...INBOX, after: -1, entries: [entryAt(3)], through: 3 });
    rig.server.last.deliver({ ...INBOX, after: 5, entries: [entryAt(6)], through: 6 });
    rig.server.last.deliver({ ...INBOX, after: 6, entries: [entryAt(7)], through: 7 });
    await rig.clock.advance(1_000);
    expect(positionsOf(rig)).toEqual([3]);
    expect(rig.errors.map(({ code, temporary }) => [code, temporary])).toEqual([['out_of_step', true]]);
    expect(rig.server.connections).toHaveLength(2);
    expect(rig.server.last.auth?.cursor).toEqual({ epoch: 'e1', position: 3 });
  });

  test('a gap is told ahead of the entries behind it', async () => {
    const order: string[] = [];
    const rig = makeRig();
    rig.client.on('gap', ({ after, through }) => void order.push(`gap ${after} ${through}`));
    rig.client.on('message', ({ position }) => void order.push(`message ${position}`));
    await rig.client.connect();
    rig.server.last.deliver({
      ...INBOX,
      after: 10,
      gap: { reason: GapReason.Retention, after: -1, through: 10 },
      entries: [entryAt(11)],
      through: 11,
    });
    await settled();
    expect(order).toEqual(['gap -1 10', 'message 11']);
    expect(rig.gaps[0]).toEqual({ ...INBOX, reason: 'retention', after: -1, through: 10 });
  });

  test('a gap that begins behind the cursor bridges nothing', async () => {
    const rig = await connectedRig();
    rig.server.last.deliver({
      ...INBOX,
      after: 10,
      gap: { reason: GapReason.Retention, after: 4, through: 10 },
      entries: [entryAt(11)],
      through: 11,
    });
    await rig.clock.advance(1_000);
    expect(rig.messages).toEqual([]);
    expect(rig.gaps).toEqual([]);
    expect(rig.server.connections).toHaveLength(2);
  });

  test('a gap that was told is not told again', async () => {
    const rig = await connectedRig();
    const gap = { reason: GapReason.Retention, after: -1, through: 10 };
    rig.server.last.deliver({ ...INBOX, after: 10, gap, through: 10 });
    rig.server.last.deliver({ ...INBOX, after: 10, gap, entries: [entryAt(11)], through: 11 });
    await settled();
    expect(rig.gaps).toHaveLength(1);
    expect(positionsOf(rig)).toEqual([11]);
  });

  test('another epoch comes only with a gap that says so; positions begin anew', async () => {
    const rig = await connectedRig();
    rig.server.last.deliver({ ...INBOX, after: -1, entries: [entryAt(1_000)], through: 1_000 });
    rig.server.last.deliver({
      stream: 'u/7',
      epoch: 'e2',
      after: -1,
      gap: { reason: GapReason.Epoch, after: -1, through: -1 },
      entries: [entryAt(4)],
      through: 4,
    });
    await rig.clock.advance(1_000);
    expect(positionsOf(rig)).toEqual([1_000, 4]);
    expect(rig.gaps.map(({ reason, epoch }) => [reason, epoch])).toEqual([['epoch', 'e2']]);
    rig.server.last.deliver({ stream: 'u/7', epoch: 'e3', after: -1, entries: [entryAt(5)], through: 5 });
    await rig.clock.advance(1_000);
    expect(rig.server.connections).toHaveLength(2);
    expect(rig.server.last.auth?.cursor).toEqual({ epoch: 'e2', position: 4 });
  });

  test('messages that are not kept are shown, and neither acknowledged nor resumed', async () => {
    const rig = await connectedRig();
    rig.server.last.deliver({ stream: '', entries: [entryAt(0)] });
    await rig.clock.advance(1_000);
    expect(rig.messages.map(({ epoch, id }) => [epoch, id])).toEqual([['', 'm0']]);
    expect(acks(rig.server.last)).toEqual([]);
  });
});

test('the stream of everyone begins with each connection; what was missed is told', async () => {
  const rig = await connectedRig();
  const all = { stream: 'all', epoch: 'e1' };
  rig.server.last.deliver({ ...all, after: 10, entries: [entryAt(11)], through: 11 });
  await settled();
  rig.server.last.cut();
  await rig.clock.advance(1_000);
  rig.server.last.deliver({ ...all, after: 15, entries: [entryAt(16)], through: 16 });
  await settled();
  expect(positionsOf(rig, 'all')).toEqual([11, 16]);
  expect(rig.gaps).toEqual([{ ...all, reason: 'not resumed', after: 11, through: 15 }]);
  rig.server.last.deliver({ ...all, after: 17, entries: [entryAt(18)], through: 18 });
  await settled();
  expect(rig.errors.map(({ code }) => code)).toEqual(['out_of_step']);
});

describe('handlers', () => {
  test('are awaited before the cursor is saved and acknowledged, and before the next message', async () => {
    const store = memoryStore();
    const rig = makeRig({ store });
    let done: () => void = () => undefined;
    rig.client.on('message', () => new Promise<void>((resolve) => (done = resolve)));
    await rig.client.connect();
    rig.server.last.deliver({ ...INBOX, after: -1, entries: [entryAt(3), entryAt(4)], through: 4 });
    await rig.clock.advance(5_000);
    expect(positionsOf(rig)).toEqual([3]);
    expect(acks(rig.server.last)).toEqual([]);
    expect((await store.load()).get('cursor:u/7')).toBe('{"epoch":"e1","position":-1}');
    done();
    await settled();
    expect((await store.load()).get('cursor:u/7')).toBe('{"epoch":"e1","position":3}');
    done();
    await rig.clock.advance(1_000);
    expect(acks(rig.server.last)).toEqual([{ ...INBOX, position: 4 }]);
  });

  test('one stream does not wait for the handlers of another', async () => {
    const rig = makeRig();
    rig.client.on('message', ({ stream }) => (stream === 'u/7' ? new Promise(() => undefined) : undefined));
    await rig.client.connect();
    await rig.client.join('a');
    rig.server.last.deliver({ ...INBOX, after: -1, entries: [entryAt(3), entryAt(4)], through: 4 });
    rig.server.last.deliver({
      stream: 'r/a',
      epoch: 'e1',
      after: -1,
      entries: [entryAt(5), entryAt(6)],
      through: 6,
    });
    await settled();
    expect(positionsOf(rig, 'r/a')).toEqual([5, 6]);
  });

  test('one that throws is told, and the message counts as handled', async () => {
    const rig = makeRig();
    rig.client.on('message', () => Promise.reject(new Error('mine')));
    await rig.client.connect();
    rig.server.last.deliver({ ...INBOX, after: -1, entries: [entryAt(3), entryAt(4)], through: 4 });
    await settled();
    expect(positionsOf(rig)).toEqual([3, 4]);
    expect(rig.errors.map(({ code }) => code)).toEqual(['handler_failed', 'handler_failed']);
    expect(rig.errors[0]?.cause).toEqual(new Error('mine'));
  });

  test('slow ones of what is not kept lose messages, and hear of it', async () => {
    const rig = makeRig({ maxWaiting: 2 });
    rig.client.on('message', () => new Promise(() => undefined));
    await rig.client.connect();
    for (let id = 1; id <= 4; id += 1) rig.server.last.deliver({ stream: '', entries: [entryAt(id)] });
    await settled();
    expect(rig.errors.map(({ code }) => code)).toEqual(['handlers_slow', 'handlers_slow']);
  });
});

describe('cursors', () => {
  test('a later start goes on behind what was handled', async () => {
    const store = memoryStore();
    const first = await connectedRig({ store });
    first.server.last.deliver({ ...INBOX, after: -1, entries: [entryAt(3)], through: 5 });
    await settled();
    first.client.close();
    const second = await connectedRig({ store });
    expect(second.server.last.auth?.cursor).toEqual({ epoch: 'e1', position: 5 });
  });

  test('what is handled is acknowledged on close', async () => {
    const rig = await connectedRig();
    rig.server.last.deliver({ ...INBOX, after: -1, entries: [entryAt(3)], through: 3 });
    await settled();
    rig.client.close();
    expect(acks(rig.server.last)).toEqual([{ ...INBOX, position: 3 }]);
  });

  test('of another user are not used', async () => {
    const store = memoryStore();
    await connectedRig({ store });
    const rig = makeRig({ store });
    rig.server.onAuth = () => ({ ...AUTH_REPLY, inbox: { stream: 'u/8', epoch: 'e1', position: 2 } });
    const connected = rig.client.connect();
    await rig.clock.advance(1_000);
    await connected;
    expect(rig.server.connections.map(({ auth }) => auth?.cursor)).toEqual([
      { epoch: 'e1', position: -1 },
      undefined,
    ]);
    expect([...(await store.load()).keys()]).toEqual(['cursor:u/8']);
  });

  test('a store that fails is tried again; until then nothing is acknowledged', async () => {
    const store = memoryStore();
    let broken = false;
    const rig = await connectedRig({
      store: {
        load: () => store.load(),
        set: (key, value) => (broken ? Promise.reject(new Error('full')) : store.set(key, value)),
      },
    });
    broken = true;
    rig.server.last.deliver({ ...INBOX, after: -1, entries: [entryAt(3)], through: 3 });
    await rig.clock.advance(3_500);
    expect(rig.errors.map(({ code }) => code)).toEqual(Array(4).fill('store_failed'));
    expect(acks(rig.server.last)).toEqual([]);
    broken = false;
    await rig.clock.advance(2_500);
    expect(acks(rig.server.last)).toEqual([{ ...INBOX, position: 3 }]);
  });

  test('checksums are sent and checked where they are agreed on', async () => {
    const rig = await connectedRig({ checksum: true });
    rig.server.last.send(OperationV2.Deliver, Deliver, {
      ...INBOX,
      after: -1,
      entries: [entryAt(3)],
      through: 3,
    });
    await rig.clock.advance(1_000);
    expect(positionsOf(rig)).toEqual([3]);
    expect(acks(rig.server.last)).toHaveLength(1);
  });
});

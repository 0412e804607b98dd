import { afterEach, describe, expect, test } from '@jest/globals';
import { GapReason } from '@halley/protocol/client/bodies';
import { CloseCode } from '@halley/protocol/close-code';
import type { ConnectionKey } from '@halley/protocol/ids';

import type { Delivered } from '../../delivery/deliverer.js';
import { outgoing } from '../../delivery/outgoing.js';
import { CometHarness, until } from '../../testing/harness.js';
import type { Version2Client } from '../../testing/version2-client.js';

const TOKEN = { mid: 1, key: 'k', accepts: [5] };
/** Renewals, which make up for every hint that is lost, come when they are called for. */
const QUIET = { intervalMs: 3_600_000, roundMs: 3_600_000, figuresMs: 3_600_000 };

let harness: CometHarness;
afterEach(() => harness.stop());

const start = async (session: Parameters<typeof CometHarness.start>[0] = {}): Promise<void> => {
  harness = await CometHarness.start({ renewal: QUIET, presence: { pollMs: 3_600_000 }, ...session });
};
const append = (fields: Parameters<CometHarness['logic']['streams']['append']>[1] = {}): Delivered =>
  harness.logic.streams.append('u/1', fields);
const tell = (...hints: Delivered[]): void => {
  const { epoch } = harness.logic.streams;
  for (const hint of hints) harness.comet.deliverer.deliver({ epoch, topic: 't', partition: 0 }, hint);
};
const many = (count: number): Delivered[] => Array.from({ length: count }, () => append());
const withoutBody = (hint: Delivered): Delivered => ({ ...hint, body: Buffer.alloc(0), withoutBody: true });
const cursorOf = (key = 'k'): number | undefined =>
  harness.comet.table.get(key as ConnectionKey)?.inbox?.cursor?.position;
/** Once this is answered everything sent before it was handled. */
const settled = async (client: Version2Client): Promise<void> => {
  expect(await client.rest()).toEqual([]);
};

describe('the inbox of a connection with version 2', () => {
  test('brings what comes, frame by frame, each behind the one before', async () => {
    await start();
    const client = await harness.version2(TOKEN);
    const sender = { mid: '7' as never, key: 's', clientId: 'c', toMid: '0' as never };
    tell(append({ acceptedAtMs: 4, expireAtMs: 9e15, traceparent: 't', sender }), append());
    expect(await client.delivered()).toEqual({
      stream: 'u/1',
      epoch: 'e1',
      after: -1,
      entries: [
        {
          position: 0,
          id: 'm0',
          operation: 5,
          body: Buffer.from('0'),
          acceptedAtMs: 4,
          expireAtMs: 9e15,
          fromMid: '7',
          fromKey: 's',
          clientId: 'c',
          toMid: '0',
          traceparent: 't',
        },
      ],
      through: 0,
      gap: undefined,
      more: false,
    });
    expect(await client.delivered()).toMatchObject({ after: 0, through: 1, entries: [{ position: 1 }] });
  });

  test('brings all that is there from the oldest on to a device that never was here', async () => {
    await start();
    many(300);
    const client = await harness.version2(TOKEN);
    const first = await client.delivered();
    expect(first).toMatchObject({ after: -1, through: 255, more: true });
    expect(first.entries).toHaveLength(256);
    client.ack('u/1', 'e1', 255);
    expect(await client.delivered()).toMatchObject({ after: 255, through: 299, more: false });
  });

  test('goes no further ahead of the acknowledgements than its window, and loses nothing behind it', async () => {
    await start({ session: { windowEntries: 4 } });
    const client = await harness.version2(TOKEN);
    tell(...many(10));
    expect(await client.entries(4)).toEqual(['0 5:0', '1 5:1', '2 5:2', '3 5:3']);
    await settled(client);
    client.ack('u/1', 'e1', 0);
    await settled(client);
    client.ack('u/1', 'e1', 3);
    expect(await client.entries(4)).toEqual(['4 5:4', '5 5:5', '6 5:6', '7 5:7']);
    client.ack('u/1', 'e1', 7);
    const last = await client.delivered();
    expect(last).toMatchObject({ after: 7, through: 9, more: false });
    client.ack('u/1', 'e1', 9);
    tell(append());
    expect(await client.entries(1)).toEqual(['10 5:10']);
  });

  test('counts the bytes of bodies in its window too, of which one may be larger', async () => {
    await start({ session: { windowBytes: 4_096 } });
    const client = await harness.version2(TOKEN);
    const large = Buffer.alloc(10_000);
    tell(append({ body: large }), append({ body: Buffer.alloc(10) }), append({ body: large }));
    expect((await client.delivered()).entries.map(({ position }) => position)).toEqual([0]);
    await settled(client);
    client.ack('u/1', 'e1', 0);
    expect((await client.delivered()).entries.map(({ position }) => position)).toEqual([1]);
    await settled(client);
    client.ack('u/1', 'e1', 1);
    expect((await client.delivered()).entries.map(({ position }) => position)).toEqual([2]);
  });

  test('takes no acknowledgement that is of another epoch or stream, or above what was sent', async () => {
    await start({ session: { windowEntries: 2 } });
    const client = await harness.version2(TOKEN);
    tell(...many(3));
    await client.entries(2);
    client.ack('u/1', 'e0', 1);
    client.ack('u/2', 'e1', 1);
    client.ack('u/1', 'e1', 2);
    client.ack('u/1', 'e1', 9e15);
    client.ack('u/1', 'e1', -1);
    await settled(client);
    expect(cursorOf()).toBe(-1);
    client.ack('u/1', 'e1', 1);
    expect(await client.entries(1)).toEqual(['2 5:2']);
    expect(cursorOf()).toBe(1);
  });

  test('is not for a client that acknowledges nothing: 3008', async () => {
    await start({ session: { windowEntries: 2, ackTimeoutMs: 300 } });
    const client = await harness.version2(TOKEN);
    tell(...many(3));
    await client.entries(2);
    const { close } = await client.end();
    expect(close).toMatchObject({ code: CloseCode.Slow, reconnect: true });
    expect(await harness.metric('halley_comet_unacknowledged_total')).toBe(1);
  });

  test('waits as long as it likes for one that was sent all there is', async () => {
    await start({ session: { windowEntries: 2, ackTimeoutMs: 100 } });
    const client = await harness.version2(TOKEN);
    tell(...many(2));
    await client.entries(2);
    await new Promise((resolve) => setTimeout(resolve, 600));
    expect(await client.rest()).toEqual([]);
  });

  test('passes over what is for other devices, or not accepted, and moves the cursor with a heartbeat', async () => {
    await start();
    const client = await harness.version2(TOKEN);
    tell(append({ keys: ['other'] }), append({ operation: 6 }), append({ expireAtMs: 1 }));
    expect(cursorOf()).toBe(2);
    const rest = await client.rest();
    expect(rest).toHaveLength(1);
    expect(rest[0]).toContain('"after":-1,"entries":[],"through":2');
    tell(append());
    expect(await client.delivered()).toMatchObject({ after: 2, through: 3 });
    tell(append({ keys: ['other'] }));
    expect(cursorOf()).toBe(-1);
    client.ack('u/1', 'e1', 3);
    await client.rest();
    expect(cursorOf()).toBe(3);
    client.ack('u/1', 'e1', 4);
    await settled(client);
    expect(cursorOf()).toBe(4);
  });
});

describe('what cannot be read any more is declared', () => {
  test('when retention took it', async () => {
    await start();
    many(6);
    harness.logic.streams.floor = 3;
    const client = await harness.version2(TOKEN, { cursor: { epoch: 'e1', position: 1 } });
    expect(await client.delivered()).toMatchObject({
      after: 1,
      gap: { reason: GapReason.Retention, after: 1, through: 3 },
      entries: [{ position: 4 }, { position: 5 }],
      through: 5,
    });
  });

  test('also where nothing comes behind it', async () => {
    await start();
    many(3);
    harness.logic.streams.floor = 2;
    const client = await harness.version2(TOKEN, { cursor: { epoch: 'e1', position: 0 } });
    expect(await client.delivered()).toMatchObject({
      after: 0,
      gap: { reason: GapReason.Retention, after: 0, through: 2 },
      entries: [],
      through: 2,
    });
  });

  test('when the bus began anew while it was connected, and old acknowledgements mean nothing then', async () => {
    await start();
    const client = await harness.version2(TOKEN);
    tell(...many(3));
    await client.entries(3);
    harness.logic.streams.begin('e2');
    tell(append(), append());
    const frame = await client.delivered();
    expect(frame).toMatchObject({
      epoch: 'e2',
      gap: { reason: GapReason.Epoch, after: -1, through: -1 },
      entries: [{ position: 0 }, { position: 1 }],
    });
    client.ack('u/1', 'e1', 1);
    await settled(client);
    expect(cursorOf()).toBe(-1);
    client.ack('u/1', 'e2', 1);
    await settled(client);
    expect(cursorOf()).toBe(1);
  });

  test('when the cursor that it comes with is of another epoch', async () => {
    await start();
    append();
    const client = await harness.version2(TOKEN, { cursor: { epoch: 'e0', position: 99 } });
    expect(await client.delivered()).toMatchObject({
      epoch: 'e1',
      gap: { reason: GapReason.Epoch, through: -1 },
      entries: [{ position: 0 }],
    });
  });
});

describe('where a device with version 2 goes on', () => {
  test('is what it acknowledged, renewed while it is there and kept when it goes', async () => {
    await start();
    const client = await harness.version2(TOKEN);
    tell(...many(4));
    await client.entries(4);
    client.ack('u/1', 'e1', 1);
    await settled(client);
    harness.comet.renewal.renewAllSoon();
    harness.comet.renewal.tick();
    await harness.comet.renewal.settled();
    const cursor = { stream: 'u/1', epoch: 'e1', position: 1, acknowledged: true, moved: true };
    expect(harness.logic.streams.cursors.get('k')).toEqual(cursor);
    client.ack('u/1', 'e1', 2);
    await settled(client);
    client.wire.close();
    await until(() => harness.comet.table.size === 0 && harness.comet.releases.pending === 0);
    expect(harness.logic.streams.cursors.get('k')?.position).toBe(2);
    const again = await harness.version2(TOKEN);
    expect(again.auth.inbox?.position).toBe(2);
    expect(await again.entries(1)).toEqual(['3 5:3']);
  });

  test('a hint that was lost is found with the next renewal', async () => {
    await start();
    const client = await harness.version2(TOKEN);
    append();
    harness.comet.renewal.tick();
    expect(await client.entries(1)).toEqual(['0 5:0']);
    tell(withoutBody(append()));
    expect(await client.entries(1)).toEqual(['1 5:1']);
  });

  test('a second device is not told of as at the end what came while it was on its way', async () => {
    await start();
    await harness.version2({ ...TOKEN, key: 'first' });
    const connect = harness.logic.connect.bind(harness.logic);
    harness.logic.connect = async (ask) => {
      const connected = await connect(ask);
      tell(append());
      return connected;
    };
    const second = await harness.version2({ ...TOKEN, key: 'second' });
    expect(await second.entries(1)).toEqual(['0 5:0']);
  });
});

test('what is not kept is dropped for a client that does not read, and does not close it', async () => {
  await start({ outbox: { maxBytes: 100_000, maxTotalBytes: 64_000_000 } });
  const client = await harness.version2(TOKEN);
  const { wire } = client;
  if (!('socket' in wire)) throw new Error('over TCP');
  wire.socket.pause();
  const body = Buffer.alloc(64 * 1024);
  const dropped = (): Promise<number> =>
    harness.metric('halley_comet_messages_dropped_total', { reason: 'user_slow' });
  while ((await dropped()) === 0) {
    harness.comet.deliverer.toKeys(['k'], outgoing(5, body));
    await new Promise((resolve) => setImmediate(resolve));
  }
  wire.socket.resume();
  expect((await client.delivered()).entries).toHaveLength(1);
  expect(harness.comet.table.size).toBe(1);
});

test('slow and fast devices of one user are sent the same bytes where they stand at the same place', async () => {
  await start({ session: { windowEntries: 2 } });
  const [slow, fast, old] = [
    await harness.version2({ ...TOKEN, key: 'slow' }),
    await harness.version2({ ...TOKEN, key: 'fast' }, {}, 'ws'),
    await harness.tcpOf({ ...TOKEN, key: 'old' }),
  ];
  for (let i = 0; i < 6; i += 1) {
    tell(append());
    expect(await fast.entries(1)).toEqual([`${i} 5:${i}`]);
    fast.ack('u/1', 'e1', i);
    expect(await old.texts(1)).toEqual([`5:${i}`]);
  }
  expect(await slow.entries(2)).toEqual(['0 5:0', '1 5:1']);
  slow.ack('u/1', 'e1', 1);
  expect(await slow.entries(2)).toEqual(['2 5:2', '3 5:3']);
});

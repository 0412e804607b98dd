import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { HalleyError } from '@halley/protocol/error';
import type { ConnectionKey, RoomId } from '@halley/protocol/ids';

import type { Delivered } from '../delivery/deliverer.js';
import { CometHarness, until } from '../testing/harness.js';
import { frame, type TcpClient, type WsClient } from '../testing/test-client.js';

const ROOM = 'chat://1';
const STREAM = `r/${ROOM}`;
const CHANGE_ROOM = 12;
const member = (mid = 1, room = ROOM) => ({ mid, accepts: [], room_id: room });

let harness: CometHarness;
beforeEach(async () => {
  // Renewals, which make up for every hint that is lost, come when they are called for.
  harness = await CometHarness.start({
    renewal: { intervalMs: 3_600_000, roundMs: 3_600_000, figuresMs: 3_600_000 },
    outbox: { maxBytes: 200_000, maxTotalBytes: 1_000_000 },
  });
  harness.logic.durableRooms.add(ROOM).add('chat://2');
});
afterEach(() => harness.stop());

const append = (fields: object = {}, stream = STREAM): Delivered =>
  harness.logic.streams.append(stream, fields);
const tell = (...hints: Delivered[]): void => {
  for (const hint of hints)
    harness.comet.deliverer.deliver({ epoch: harness.logic.streams.epoch, topic: 't', partition: 0 }, hint);
};
const toRoom = (text: string, position: number): Delivered => ({
  ...append({}, 'u/elsewhere'),
  position,
  body: Buffer.from(text),
  streams: [],
  rooms: [ROOM],
});
const renew = async (): Promise<void> => {
  harness.comet.renewal.renewAllSoon();
  harness.comet.renewal.tick();
  await harness.comet.renewal.settled();
};
const calls = (name: string): string[] => harness.logic.calls.filter((call) => call.startsWith(name));
/** What the client has been sent is all there is: an echo comes behind it. */
const rest = async (client: TcpClient | WsClient): Promise<string[]> => {
  client.send(frame(1_000));
  const texts: string[] = [];
  for (;;) {
    const { op, body } = await client.next();
    if (op === 1_000) return texts;
    texts.push(`${op}:${Buffer.from(body).toString()}`);
  }
};
const changeRoom = async (client: TcpClient, room: string): Promise<void> => {
  client.send(frame(CHANGE_ROOM, room));
  expect((await client.next()).op).toBe(CHANGE_ROOM + 1);
};

describe('a member of a durable room', () => {
  test('begins at its end, and is sent what comes, whatever it accepts', async () => {
    append();
    const members = [await harness.tcpOf(member(1)), await harness.wsOf(member(2))];
    tell(append(), append({ operation: 77 }));
    for (const client of members) expect(await client.texts(2)).toEqual(['5:1', '77:2']);
    expect(harness.logic.streams.calls).toEqual([]);
  });

  test('is sent what is ephemeral beside it', async () => {
    const client = await harness.tcpOf(member());
    tell(append());
    expect(await client.texts(1)).toEqual(['5:0']);
    tell(toRoom('typing', 50));
    expect(await client.texts(1)).toEqual(['5:typing']);
  });

  test('reads what is missing, once and in order, and what it was told of while it joined', async () => {
    const client = await harness.tcpOf(member());
    tell(append());
    append();
    tell(append());
    expect(await client.texts(3)).toEqual(['5:0', '5:1', '5:2']);
    let open = (): void => undefined;
    const openRooms = harness.logic.openRooms.bind(harness.logic);
    harness.logic.openRooms = async (...ask) => {
      const opened = await openRooms(...ask);
      await new Promise<void>((resolve) => (open = resolve));
      return opened;
    };
    const late = harness.tcpOf(member(2));
    await until(() => calls('open').length === 2);
    await new Promise((resolve) => setTimeout(resolve, 10));
    tell(append());
    open();
    expect(await (await late).texts(1)).toEqual(['5:3']);
    expect(await client.texts(1)).toEqual(['5:3']);
  });

  test('that does not read is read for, and nobody else waits for it', async () => {
    const [slow, fast] = [await harness.tcpOf({ ...member(1), key: 's' }), await harness.tcpOf(member(2))];
    slow.socket.pause();
    for (let i = 0; i < 300; i += 1) {
      const body = Buffer.alloc(64 * 1_024);
      body.writeUInt32BE(i);
      tell(append({ body }));
      await new Promise((resolve) => setImmediate(resolve));
    }
    const numbers = async (client: TcpClient): Promise<number[]> => {
      const got: number[] = [];
      while (got.length < 300) got.push(Buffer.from((await client.next()).body).readUInt32BE());
      return got;
    };
    const all = Array.from({ length: 300 }, (_, i) => i);
    expect(await numbers(fast)).toEqual(all);
    slow.socket.resume();
    expect(await numbers(slow)).toEqual(all);
    expect(await harness.metric('halley_comet_messages_dropped_total')).toBe(0);
  });

  test('finds with the next renewal what nobody told it', async () => {
    const client = await harness.tcpOf(member());
    append();
    append();
    await renew();
    expect(harness.logic.renewals.at(-1)).toMatchObject({ rooms: [ROOM], streams: [STREAM] });
    expect(await client.texts(2)).toEqual(['5:0', '5:1']);
  });

  test('that changes its room follows that one only, and none when it leaves it', async () => {
    const client = await harness.tcpOf(member());
    await changeRoom(client, 'chat://2');
    tell(append({}, STREAM), append({}, 'r/chat://2'));
    expect(await rest(client)).toEqual(['5:1']);
    await changeRoom(client, 'live://1');
    tell(append({}, 'r/chat://2'));
    await changeRoom(client, '');
    expect(await rest(client)).toEqual([]);
    expect(harness.comet.streams.first(STREAM)).toBeUndefined();
    expect(harness.comet.streams.first('r/chat://2')).toBeUndefined();
    await renew();
    expect(harness.logic.renewals.at(-1)?.streams).toEqual([]);
  });

  test('is none where its end cannot be looked up: the room is not held for it', async () => {
    const client = await harness.tcpOf({ mid: 1, key: 'k' });
    harness.logic.openRooms = () => Promise.reject(new HalleyError('store_unavailable'));
    client.send(frame(CHANGE_ROOM, ROOM));
    await client.end();
    await harness.comet.directory.leaveAll();
    expect(harness.logic.rooms.has(ROOM)).toBe(false);
  });

  test('is no member any more with the end of its connection', async () => {
    const client = await harness.tcpOf(member());
    client.close();
    await until(() => harness.comet.table.size === 0);
    expect(harness.comet.streams.size).toBe(0);
    expect(harness.comet.rooms.get(ROOM as RoomId)).toBeUndefined();
  });
});

test('who is in no durable room asks for nothing more than before', async () => {
  const client = await harness.tcpOf(member(1, 'live://1'));
  await changeRoom(client, 'live://2');
  expect(calls('open')).toEqual([]);
  await renew();
  expect(harness.logic.renewals.at(-1)?.streams).toEqual([]);
});

describe("everyone's stream", () => {
  beforeEach(() => {
    harness.logic.answer = { everyone: { stream: 'all', epoch: 'e1', position: -1 } };
  });

  test('is followed by every connection from its auth on, as far as it accepts', async () => {
    const clients = [
      await harness.tcpOf({ mid: 1, accepts: [5] }),
      await harness.wsOf({ mid: 0, accepts: [5] }),
      await harness.tcpOf({ mid: 2, accepts: [6] }),
    ];
    tell(append({}, 'all'), append({ operation: 6 }, 'all'), append({}, 'all'));
    for (const client of clients.slice(0, 2)) expect(await client.texts(2)).toEqual(['5:0', '5:2']);
    expect(await rest(clients[2] as TcpClient)).toEqual(['6:1']);
    expect(harness.logic.streams.calls).toEqual([]);
  });

  test('is looked after by renewals', async () => {
    const client = await harness.tcpOf({ mid: 1, key: 'k', accepts: [5] });
    append({}, 'all');
    await renew();
    expect(await client.texts(1)).toEqual(['5:0']);
    expect(harness.comet.table.get('k' as ConnectionKey)?.following.of('all')?.last).toBe(0);
  });
});

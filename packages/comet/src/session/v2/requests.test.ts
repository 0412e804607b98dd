import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import {
  Ephemeral,
  ErrorBody,
  HistoryReply,
  HistoryRequest,
  Outcome,
  PresenceChanges,
  PresenceRequest,
  Receipts,
  RoomsReply,
  RoomsRequest,
  SendReply,
  SendRequest,
} from '@halley/protocol/client/bodies';
import type { Write } from '@halley/protocol/client/message';
import { CloseCode } from '@halley/protocol/close-code';
import { HalleyError } from '@halley/protocol/error';
import type { UserId } from '@halley/protocol/ids';
import { OperationV2 } from '@halley/protocol/operation';

import { CometHarness, until } from '../../testing/harness.js';
import type { Version2Client } from '../../testing/version2-client.js';

const TOKEN = { mid: 1, key: 'k', accepts: [5] };
const user = (mid: number): UserId => String(mid) as UserId;

let harness: CometHarness;
beforeEach(async () => {
  harness = await CometHarness.start({
    presence: { pollMs: 3_600_000 },
    session: { maxWatched: 3, ephemeralsPerSecond: 2 },
  });
  harness.logic.answers.set(18, (body) =>
    SendReply.encode({ id: `id of ${SendRequest.decode(body).clientId}`, acceptedAtMs: 9 }),
  );
});
afterEach(() => harness.stop());

const asked = (): number[] => harness.logic.asked.map(({ operation }) => operation);
const join = (client: Version2Client, room: string): Promise<RoomsReply> =>
  client.ask(OperationV2.Rooms, RoomsRequest, { join: [{ room }] }, OperationV2.RoomsReply, RoomsReply);

describe('18, a message to others', () => {
  const send = (client: Version2Client, fields: Write<typeof SendRequest>): number =>
    client.request(OperationV2.Send, SendRequest, { clientId: 'c', operation: 1_000, ...fields });

  test('is handed on as it is, for whom the connection is, and answered', async () => {
    const client = await harness.version2(TOKEN);
    const seq = send(client, { room: 'r', body: Buffer.from('hello') });
    expect(await client.reply(OperationV2.SendReply, SendReply, seq)).toMatchObject({ id: 'id of c' });
    const [ask] = harness.logic.asked;
    expect(ask?.asker).toMatchObject({ mid: '1', key: 'k' });
    expect(SendRequest.decode(ask?.body as Uint8Array)).toMatchObject({ room: 'r', clientId: 'c' });
  });

  test('is answered in the order in which it was sent, also when logic is slow', async () => {
    let first = true;
    harness.logic.answers.set(18, async (body) => {
      if (first) await new Promise((resolve) => setTimeout(resolve, 50));
      first = false;
      return SendReply.encode({ id: SendRequest.decode(body).clientId });
    });
    const client = await harness.version2(TOKEN);
    for (const clientId of ['a', 'b', 'c']) send(client, { room: 'r', clientId });
    const ids = [];
    for (let i = 0; i < 3; i += 1) ids.push((await client.reply(OperationV2.SendReply, SendReply)).id);
    expect(ids).toEqual(['a', 'b', 'c']);
  });

  test('needs a grant for its room, or to send to users', async () => {
    harness.logic.answer = { publishAny: false, publishGrants: ['a*'], sendToUsers: false };
    const client = await harness.version2(TOKEN);
    expect(await client.refusal(send(client, { room: 'b' }))).toBe('send_not_granted');
    expect(await client.refusal(send(client, { toMid: user(2) }))).toBe('send_not_granted');
    harness.logic.answer = { ...harness.logic.answer, asksToSend: true };
    const another = await harness.version2({ ...TOKEN, key: 'another' });
    for (const room of ['a', 'b']) {
      harness.logic.asked.length = 0;
      await another.reply(OperationV2.SendReply, SendReply, send(another, { room }));
      expect(harness.logic.asked.map(({ notGranted }) => notGranted)).toEqual([room === 'b']);
    }
    harness.logic.asked.length = 0;
    expect(await client.refusal(send(client, { room: 'a', toMid: user(2) }))).toBe('invalid_argument');
    expect(asked()).toEqual([]);
    await client.reply(OperationV2.SendReply, SendReply, send(client, { room: 'a1' }));
    await client.reply(OperationV2.SendReply, SendReply, send(client, {}));
  });

  test('that fails is answered with what is known of it', async () => {
    const client = await harness.version2(TOKEN);
    const failing = async (error: HalleyError): Promise<ErrorBody> => {
      harness.logic.answers.set(18, () => {
        throw error;
      });
      return client.reply(OperationV2.Error, ErrorBody, send(client, { room: 'r' }));
    };
    expect(await failing(new HalleyError('overloaded', 'Slowly.', { retryAfterMs: 70 }))).toEqual({
      code: 'overloaded',
      text: 'Slowly.',
      temporary: true,
      retryAfterMs: 70,
      outcome: Outcome.Refused,
    });
    expect(await failing(new HalleyError('bus_unknown'))).toMatchObject({
      temporary: true,
      outcome: Outcome.Unknown,
    });
    const secret = await failing(new Error('a secret') as HalleyError);
    expect(secret.code).toBe('internal');
    expect(secret.text).not.toContain('secret');
    expect(await client.rest()).toEqual([]);
  });

  test('that was said before its client went is handed over', async () => {
    const client = await harness.version2(TOKEN);
    let letGo = (): void => undefined;
    harness.logic.gate = new Promise((resolve) => (letGo = resolve));
    for (const clientId of ['a', 'b', 'c']) send(client, { room: 'r', clientId });
    await until(() => harness.logic.calls.includes('ask 18'));
    client.cutOff();
    await until(() => harness.comet.table.size === 0);
    letGo();
    await until(() => harness.logic.asked.length === 3);
    expect(harness.logic.asked.map(({ body }) => SendRequest.decode(body).clientId)).toEqual(['a', 'b', 'c']);
  });
});

test('26: history is of the own inbox and of rooms that one is in', async () => {
  harness.logic.answers.set(26, () => HistoryReply.encode({ epoch: 'e1', more: true }));
  const client = await harness.version2(TOKEN);
  const history = (stream: string): number =>
    client.request(OperationV2.History, HistoryRequest, { stream, limit: 10 });
  expect(await client.refusal(history('u/2'))).toBe('invalid_argument');
  expect(await client.refusal(history('all'))).toBe('invalid_argument');
  expect(await client.refusal(history('r/a'))).toBe('room_not_granted');
  await join(client, 'a');
  for (const stream of ['u/1', 'r/a'])
    expect(await client.reply(OperationV2.HistoryReply, HistoryReply, history(stream))).toMatchObject({
      epoch: 'e1',
      more: true,
    });
  expect(asked()).toEqual([26, 26]);
});

test('31: read positions are told, of what one may read, and answered', async () => {
  harness.logic.answers.set(31, (body) => body);
  const client = await harness.version2(TOKEN);
  const positions = (stream: string) => ({ positions: [{ stream, epoch: 'e1', position: 4 }] });
  const told = await client.ask(31, Receipts, positions('u/1'), 31, Receipts);
  expect(told.positions[0]).toMatchObject({ stream: 'u/1', position: 4 });
  expect(await client.refusal(client.request(31, Receipts, positions('r/a')))).toBe('room_not_granted');
});

describe('32, what is worth nothing later', () => {
  const type = (client: Version2Client, fields: Write<typeof Ephemeral>, seq = 0): void => {
    const body = Ephemeral.encode({ operation: 5, ...fields });
    client.wire.send({ ver: 2, op: OperationV2.Ephemeral, seq, body, flags: 0 });
  };

  test('is handed on and not answered', async () => {
    const client = await harness.version2(TOKEN);
    type(client, { room: 'r' }, 3);
    expect(await client.rest()).toEqual([]);
    expect(asked()).toEqual([32]);
  });

  test('is refused where it has a seq, and passed over where it has none', async () => {
    harness.logic.answer = { publishAny: false, publishGrants: [], sendToUsers: true };
    const client = await harness.version2(TOKEN);
    const bad: Write<typeof Ephemeral>[] = [
      { room: 'r' },
      {},
      { room: 'r', toMid: user(2) },
      { toMid: user(2), body: Buffer.alloc(1_025) },
    ];
    for (const fields of bad) type(client, fields);
    expect(await client.rest()).toEqual([]);
    const codes: string[] = [];
    for (const [index, fields] of bad.entries()) {
      type(client, fields, index + 1);
      codes.push(await client.refusal(index + 1));
    }
    expect(codes).toEqual(['send_not_granted', 'invalid_argument', 'invalid_argument', 'invalid_argument']);
    expect(asked()).toEqual([]);
  });

  test('is limited in rate', async () => {
    const client = await harness.version2(TOKEN);
    for (const seq of [1, 2, 3]) type(client, { room: 'r' }, seq);
    const refused = await client.reply(OperationV2.Error, ErrorBody, 3);
    expect(refused).toMatchObject({ code: 'overloaded', temporary: true });
    expect(refused.retryAfterMs).toBeGreaterThan(0);
    expect(asked()).toEqual([32, 32]);
  });
});

describe('33, presence', () => {
  const watch = (client: Version2Client, request: Write<typeof PresenceRequest>): Promise<PresenceChanges> =>
    client.ask(33, PresenceRequest, request, 34, PresenceChanges);
  const online = (mid: number, platforms: string[] = ['web']): void =>
    void harness.logic.presences.set(String(mid), { online: true, platforms });

  test('is answered with how they are now, and changes are told together', async () => {
    online(2);
    const client = await harness.version2(TOKEN);
    const { users } = await watch(client, { watch: [user(2), user(3)] });
    expect(users.map((one) => [one.mid, one.online, one.platforms])).toEqual([
      ['2', true, ['web']],
      ['3', false, []],
    ]);
    await harness.comet.presence.poll();
    expect(await client.rest()).toEqual([]);
    harness.logic.presences.set('2', { online: false, lastSeenMs: 7 });
    online(3);
    await harness.comet.presence.poll();
    const changes = await client.reply(34, PresenceChanges, 0);
    expect(changes.users.map((one) => [one.mid, one.online, one.lastSeenMs])).toEqual([
      ['2', false, 7],
      ['3', true, 0],
    ]);
  });

  test('is asked for once, however many watch, and no more when nobody does', async () => {
    const [one, other] = [await harness.version2(TOKEN), await harness.version2({ mid: 2 })];
    for (const client of [one, other]) await watch(client, { watch: [user(5)] });
    harness.logic.presenceCalls.length = 0;
    await harness.comet.presence.poll();
    expect(harness.logic.presenceCalls).toEqual([['5']]);
    await watch(one, { unwatch: [user(5)] });
    online(5);
    await harness.comet.presence.poll();
    expect((await other.reply(34, PresenceChanges, 0)).users).toHaveLength(1);
    expect(await one.rest()).toEqual([]);
    other.wire.close();
    await until(() => harness.comet.presence.size === 0);
  });

  test('that one client learns is told to the others who watch', async () => {
    const [one, other] = [await harness.version2(TOKEN), await harness.version2({ mid: 2 })];
    await watch(one, { watch: [user(5)] });
    online(5);
    expect((await watch(other, { watch: [user(5)] })).users[0]?.online).toBe(true);
    await harness.comet.presence.poll();
    expect((await one.reply(34, PresenceChanges, 0)).users[0]?.online).toBe(true);
    expect(await other.rest()).toEqual([]);
  });

  test('is limited, and replaced as a whole', async () => {
    const client = await harness.version2(TOKEN);
    const mids = (count: number): UserId[] => Array.from({ length: count }, (_, i) => user(i + 10));
    const tooMany = client.request(33, PresenceRequest, { watch: mids(4) });
    expect(await client.refusal(tooMany)).toBe('limit_exceeded');
    expect(harness.comet.presence.size).toBe(0);
    await watch(client, { watch: mids(3) });
    await watch(client, { watch: [user(99)], replace: true });
    expect(harness.comet.presence.size).toBe(1);
  });

  test('that is not known is an error, and nothing is watched', async () => {
    const client = await harness.version2(TOKEN);
    harness.logic.failure = new HalleyError('store_unavailable');
    expect(await client.refusal(client.request(33, PresenceRequest, { watch: [user(2)] }))).toBe(
      'store_unavailable',
    );
    expect(harness.comet.presence.size).toBe(0);
    harness.logic.failure = undefined;
  });
});

describe('a node that drains', () => {
  test('asks clients with version 2 to go, serves them until they do, and closes who stays', async () => {
    const [goes, stays] = [await harness.version2({ ...TOKEN, key: 'goes' }), await harness.version2(TOKEN)];
    const old = await harness.wsOf({ mid: 3 });
    const drained = harness.comet.drain(600);
    expect((await old.end()).code).toBe(CloseCode.Draining);
    const moves = [await goes.next(), await stays.next()];
    expect(moves.map(({ op }) => op)).toEqual([29, 29]);
    await join(stays, 'still');
    goes.wire.close();
    await drained;
    expect((await stays.end()).close).toMatchObject({ code: CloseCode.Draining, reconnect: true });
    expect(await harness.metric('halley_comet_moved_total')).toBe(2);
  });

  test('is done once all have gone', async () => {
    const client = await harness.version2(TOKEN);
    const drained = harness.comet.drain(60_000);
    await client.next();
    client.wire.close();
    await drained;
    expect(client.wire.ended).toBeDefined();
  });
});

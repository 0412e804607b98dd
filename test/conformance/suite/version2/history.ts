import { describe, expect, test } from '@jest/globals';

import { type HistoryReply, HistoryOrder, type HistoryRequest } from '@halley/protocol/client/bodies';
import type { Write } from '@halley/protocol/client/message';

import type { Transport } from '../../../harness/goim-client.js';
import { newKey, newMid, newOp, newRoom } from '../../../harness/unique.js';
import type { Shown, Version2Client } from '../../../harness/version2/client.js';
import { numbered, TRANSPORTS } from '../stage.js';
import { streamOf } from './rooms.js';
import {
  expectRefused,
  HISTORY,
  idOf,
  message,
  PAGE,
  SEND,
  SENT,
  textOf,
  type User,
  type Version2Stage,
} from './stage.js';

const page = (client: Version2Client, request: Write<typeof HistoryRequest>): Promise<HistoryReply> =>
  client.ask(HISTORY, request, PAGE);

const textsOf = ({ entries }: HistoryReply): string[] => entries.map(textOf);

/** ver2.md: history. */
export function historySuite(stage: Version2Stage): void {
  const SENT_TEXTS = numbered('message', 9);

  /** A user who was pushed nine messages, which were shown. */
  const told = async (
    transport: Transport,
    op: number,
  ): Promise<User & { readonly shown: readonly Shown[] }> => {
    const user = await stage.user(transport, op);
    for (const body of SENT_TEXTS) await stage.goim.pushMids(op, [user.mid], body);
    return { ...user, shown: await user.client.shown(user.stream, SENT_TEXTS.length) };
  };

  describe.each(TRANSPORTS)('over %s', (transport) => {
    test('the own inbox, newest first and oldest first, page by page', async () => {
      const { client, stream } = await told(transport, newOp());
      const backwards = await page(client, { stream, limit: 4 });
      expect(textsOf(backwards)).toEqual(SENT_TEXTS.toReversed().slice(0, 4));
      expect(backwards.more).toBe(true);
      const forwards: string[] = [];
      for (
        let request: Write<typeof HistoryRequest> = { stream, order: HistoryOrder.OldestFirst, limit: 4 };
        ;
      ) {
        const { entries, more, epoch } = await page(client, request);
        forwards.push(...entries.map(textOf));
        if (!more) break;
        request = { ...request, after: entries.at(-1)?.position, epoch };
      }
      expect(forwards).toEqual(SENT_TEXTS);
      const { entries, epoch } = backwards;
      const rest = await page(client, { stream, before: entries.at(-1)?.position, epoch, limit: 100 });
      expect(textsOf(rest)).toEqual(SENT_TEXTS.toReversed().slice(4));
      expect(rest.more).toBe(false);
    });

    test('entries are those that were delivered', async () => {
      const op = newOp();
      const { client, stream, shown } = await told(transport, op);
      const { entries, epoch } = await page(client, { stream, order: HistoryOrder.OldestFirst });
      expect(entries.map((entry) => ({ ...entry, stream, epoch }))).toEqual(shown);
    });

    test('between positions, and between times', async () => {
      const { client, stream, shown } = await told(transport, newOp());
      const [second, sixth] = [shown[1], shown[5]] as [Shown, Shown];
      const { epoch } = second;
      const between = { stream, order: HistoryOrder.OldestFirst, epoch };
      expect(
        textsOf(await page(client, { ...between, after: second.position, before: sixth.position })),
      ).toEqual(SENT_TEXTS.slice(2, 5));
      const since = await page(client, { ...between, fromMs: sixth.acceptedAtMs });
      expect(since.entries.map(({ acceptedAtMs }) => acceptedAtMs >= sixth.acceptedAtMs)).not.toContain(
        false,
      );
      expect(textsOf(since)).toEqual(expect.arrayContaining(SENT_TEXTS.slice(5)));
      const until = await page(client, { ...between, toMs: sixth.acceptedAtMs });
      expect([...textsOf(until), ...textsOf(since)]).toEqual(SENT_TEXTS);
    });

    test('of another epoch there is nothing, and the epoch of now', async () => {
      const { client, stream, shown } = await told(transport, newOp());
      const reply = await page(client, { stream, epoch: 'another', before: 1_000_000 });
      expect(reply).toEqual({ epoch: shown[0]?.epoch, entries: [], more: false });
    });

    test('it moves no cursor, and leaves out what is for other devices', async () => {
      const op = newOp();
      const { client, mid, key, stream } = await stage.user(transport, op);
      const other = await stage.open('tcp', { mid, key: newKey(), accepts: [op] });
      await stage.goim.pushKeys(op, [other.auth.key], 'other');
      await stage.goim.pushKeys(op, [key], 'own');
      await stage.goim.pushMids(op, [mid], 'both');
      expect(await other.texts(stream, 2)).toEqual(['other', 'both']);
      expect(textsOf(await page(client, { stream }))).toEqual(['both', 'own']);
      expect(await client.texts(stream, 2)).toEqual(['own', 'both']);
    });

    test("nobody else's inbox, no room that one is not in, no stream that is none", async () => {
      const { client } = await stage.user(transport, newOp());
      expectRefused(await client.refused(HISTORY, { stream: `u/${newMid()}` }), 'invalid_argument');
      expectRefused(await client.refused(HISTORY, { stream: `r/${newRoom().id}` }), 'room_not_granted');
      for (const stream of ['', 'all', 'x', 'u/'])
        expectRefused(await client.refused(HISTORY, { stream }), 'invalid_argument');
    });

    test.each([
      { limit: 1_001 },
      { limit: -1 },
      { order: 9 },
      { after: 5, before: 5 },
      { fromMs: 5, toMs: 5 },
    ])('%j is refused', async (wrong) => {
      const { client, stream } = await stage.user(transport, newOp());
      expectRefused(await client.refused(HISTORY, { stream, ...wrong }), 'invalid_argument');
    });
  });

  if (stage.traits.durableType !== '') {
    test('a durable room that one is in, with who sent what, also from before one joined', async () => {
      const room = stage.durableRoom();
      const [a, b] = await Promise.all([stage.user('tcp', newOp()), stage.user('ws', newOp())]);
      await a.client.rooms([room.id]);
      const sent = await a.client.ask(SEND, message({ room: room.id }, 'before'), SENT);
      await a.client.shown(streamOf(room), 1);
      expectRefused(await b.client.refused(HISTORY, { stream: streamOf(room) }), 'room_not_granted');
      await b.client.rooms([room.id]);
      const { entries } = await page(b.client, { stream: streamOf(room) });
      expect(entries).toMatchObject([{ id: sent.id, fromMid: idOf(a.mid), fromKey: a.key }]);
      await b.client.rooms([], [room.id]);
      expectRefused(await b.client.refused(HISTORY, { stream: streamOf(room) }), 'room_not_granted');
    });
  }
}

import { describe, expect, test } from '@jest/globals';

import type { ReadPosition } from '@halley/protocol/client/bodies';

import { newKey, newMid, newOp, newRoom } from '../../../harness/unique.js';
import type { Shown, Version2Client } from '../../../harness/version2/client.js';
import { TRANSPORTS } from '../stage.js';
import { streamOf } from './rooms.js';
import { expectRefused, idOf, message, RECEIPTS, SEND, SENT, type Version2Stage } from './stage.js';

/** Says up to where a stream was read; answers how it stands. */
async function read(
  client: Version2Client,
  { stream, epoch }: Shown,
  position: number,
): Promise<ReadPosition> {
  const { positions } = await client.ask(RECEIPTS, { positions: [{ stream, epoch, position }] }, RECEIPTS);
  expect(positions).toHaveLength(1);
  return positions[0] as ReadPosition;
}

/** ver2.md: read positions. */
export function readPositionsSuite(stage: Version2Stage): void {
  describe.each(TRANSPORTS)('over %s', (transport) => {
    test("it only grows, says what is unread, and the user's other devices are told", async () => {
      const op = newOp();
      const { client, mid, stream } = await stage.user(transport, op);
      const other = await stage.open('tcp', { mid, key: newKey(), accepts: [op] });
      for (const body of ['a', 'b', 'c']) await stage.goim.pushMids(op, [mid], body);
      const [a, b, c] = (await client.shown(stream, 3)) as [Shown, Shown, Shown];
      expect(await read(client, a, -1)).toMatchObject({ stream, position: -1, unread: 3 });
      const now = await read(client, a, b.position);
      expect(now).toMatchObject({ stream, epoch: a.epoch, position: b.position, unread: 1, mid: '0' });
      expect(now.atMs).toBeGreaterThan(0);
      expect((await other.told(...RECEIPTS)).positions).toMatchObject([
        { stream, position: b.position, unread: 1 },
      ]);
      expect(await read(client, a, a.position)).toMatchObject({ position: b.position, unread: 1 });
      expect(await read(other, a, c.position)).toMatchObject({ position: c.position, unread: 0 });
      // The first news that come are of the last change: of those that changed nothing there were none.
      expect((await client.told(...RECEIPTS)).positions).toMatchObject([{ position: c.position, unread: 0 }]);
    });

    test('a position beyond the end counts as the end: what comes later is unread', async () => {
      const op = newOp();
      const { client, mid, stream } = await stage.user(transport, op);
      await stage.goim.pushMids(op, [mid], 'a');
      const [a] = (await client.shown(stream, 1)) as [Shown];
      const far = await read(client, a, a.position + 1_000_000_000);
      expect(far.position).toBeGreaterThanOrEqual(a.position);
      expect(far.position).toBeLessThan(a.position + 1_000_000_000);
      await stage.goim.pushMids(op, [mid], 'b');
      await client.shown(stream, 1);
      expect(await read(client, a, -1)).toMatchObject({ position: far.position, unread: 1 });
    });

    test('what one sent oneself is not unread', async () => {
      const op = newOp();
      const [from, to] = await Promise.all([stage.user(transport, op), stage.user('ws', op)]);
      await from.client.ask(SEND, message({ toMid: idOf(to.mid) }, 'hello', op), SENT);
      const [own] = (await from.client.shown(from.stream, 1)) as [Shown];
      const [received] = (await to.client.shown(to.stream, 1)) as [Shown];
      expect(await read(from.client, own, -1)).toMatchObject({ unread: 0 });
      expect(await read(to.client, received, -1)).toMatchObject({ unread: 1 });
    });

    test('the next auth tells it', async () => {
      const op = newOp();
      const { client, mid, stream } = await stage.user(transport, op);
      await stage.goim.pushMids(op, [mid], 'a');
      const [a] = (await client.shown(stream, 1)) as [Shown];
      expect(await read(client, a, a.position)).toMatchObject({ position: a.position, unread: 0 });
      // What is not to be had at once is left out.
      await stage.eventually(async () => {
        const next = await stage.open('tcp', { mid, key: newKey(), accepts: [op] });
        return next.auth.read?.position === a.position && next.auth.read.unread === 0;
      });
    });

    test('of another epoch it changes nothing', async () => {
      const op = newOp();
      const { client, mid, stream } = await stage.user(transport, op);
      await stage.goim.pushMids(op, [mid], 'a');
      const [a] = (await client.shown(stream, 1)) as [Shown];
      expect(await read(client, { ...a, epoch: 'another' }, a.position)).toMatchObject({
        epoch: a.epoch,
        position: -1,
        unread: 1,
      });
    });

    test('100 streams at most; only the own inbox and rooms that one is in', async () => {
      const { client, stream } = await stage.user(transport, newOp());
      const hundred = Array.from({ length: 100 }, () => ({ stream, position: -1 }));
      await client.ask(RECEIPTS, { positions: hundred }, RECEIPTS);
      const more = [...hundred, { stream, position: -1 }];
      expectRefused(await client.refused(RECEIPTS, { positions: more }), 'limit_exceeded');
      const of = (foreign: string) => ({ positions: [{ stream: foreign, position: -1 }] });
      expectRefused(await client.refused(RECEIPTS, of(`u/${newMid()}`)), 'invalid_argument');
      expectRefused(await client.refused(RECEIPTS, of(`r/${newRoom().id}`)), 'room_not_granted');
      expectRefused(
        await client.refused(RECEIPTS, { positions: [{ stream, position: -2 }] }),
        'invalid_argument',
      );
    });
  });

  if (stage.traits.durableType !== '') {
    test('of a durable room, and a join tells it', async () => {
      const room = stage.durableRoom();
      const { client } = await stage.user('ws', newOp());
      await client.rooms([room.id]);
      for (const body of ['a', 'b']) await stage.goim.pushRoom(newOp(), room, body);
      const [a] = (await client.shown(streamOf(room), 2)) as [Shown];
      expect(await read(client, a, a.position)).toMatchObject({ position: a.position, unread: 1 });
      await stage.eventually(async () => {
        await client.rooms([], [room.id]);
        const [answer] = await client.rooms([room.id]);
        return answer?.read?.position === a.position && answer.read.unread === 1;
      });
    });
  }
}

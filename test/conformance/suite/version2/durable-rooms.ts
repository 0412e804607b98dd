import { describe, expect, test } from '@jest/globals';

import { GapReason, type RoomAnswer, Start } from '@halley/protocol/client/bodies';

import { newKey, newOp } from '../../../harness/unique.js';
import type { Shown, Version2Client } from '../../../harness/version2/client.js';
import { numbered, TRANSPORTS } from '../stage.js';
import { streamOf } from './rooms.js';
import { message, SEND, SENT, textOf, type Version2Stage } from './stage.js';

/** ver2.md: rooms whose messages are kept. */
export function durableRoomsSuite(stage: Version2Stage): void {
  /** Joins one room, which must be durable. */
  const join = async (
    client: Version2Client,
    room: Parameters<Version2Client['rooms']>[0][number],
  ): Promise<RoomAnswer> => {
    const [answer] = (await client.rooms([room])) as [RoomAnswer];
    expect(answer.error).toBeUndefined();
    expect(answer.durable).toBe(true);
    expect(answer.epoch).not.toBe('');
    return answer;
  };

  describe.each(TRANSPORTS)('over %s', (transport) => {
    test('messages have positions, for every member the same', async () => {
      const room = stage.durableRoom();
      const members = await Promise.all([stage.user(transport, newOp()), stage.user('tcp', newOp())]);
      for (const { client } of members) await join(client, room.id);
      const sent = numbered('push', 10);
      for (const body of sent) await stage.goim.pushRoom(newOp(), room, body);
      const [ours, theirs] = (await Promise.all(
        members.map(({ client }) => client.shown(streamOf(room), 10)),
      )) as [Shown[], Shown[]];
      expect(ours.map(textOf)).toEqual(sent);
      expect(theirs.map(({ position, id }) => [position, id])).toEqual(
        ours.map(({ position, id }) => [position, id]),
      );
      expect(ours[0]?.epoch).not.toBe('');
    });

    test('a member goes on behind its cursor, begins at the end without one, and at the oldest if it wants', async () => {
      const room = stage.durableRoom();
      const stream = streamOf(room);
      const { client: witness } = await stage.user(transport, newOp());
      await join(witness, room.id);
      for (const body of ['a', 'b', 'c']) await stage.goim.pushRoom(newOp(), room, body);
      const [a] = (await witness.shown(stream, 3)) as [Shown];
      const [resumed, fresh, oldest] = await Promise.all([0, 1, 2].map(() => stage.user(transport, newOp())));
      if (!resumed || !fresh || !oldest) throw new Error('no users');
      const { epoch, position } = a;
      expect(await join(resumed.client, { room: room.id, epoch, position })).toMatchObject({
        epoch,
        position,
      });
      expect((await join(fresh.client, room.id)).position).toBeGreaterThan(position);
      await join(oldest.client, { room: room.id, start: Start.Oldest });
      expect(await resumed.client.texts(stream, 2)).toEqual(['b', 'c']);
      expect(await oldest.client.texts(stream, 3)).toEqual(['a', 'b', 'c']);
      await stage.goim.pushRoom(newOp(), room, 'd');
      for (const { client } of [resumed, fresh, oldest]) expect(await client.texts(stream, 1)).toEqual(['d']);
    });

    test('joined again with a cursor, messages above it come again', async () => {
      const room = stage.durableRoom();
      const stream = streamOf(room);
      const { client } = await stage.user(transport, newOp());
      await join(client, room.id);
      for (const body of ['a', 'b', 'c']) await stage.goim.pushRoom(newOp(), room, body);
      const [a] = (await client.shown(stream, 3)) as [Shown];
      await join(client, room.id);
      await join(client, { room: room.id, epoch: a.epoch, position: a.position });
      await stage.goim.pushRoom(newOp(), room, 'd');
      expect(await client.texts(stream, 3)).toEqual(['b', 'c', 'd']);
      await client.rooms([], [room.id]);
      await stage.goim.pushRoom(newOp(), room, 'e');
      await join(client, { room: room.id, start: Start.Newest });
      await stage.goim.pushRoom(newOp(), room, 'f');
      expect((await client.textsUntil(stream, 'f')).join('')).toMatch(/^e?f$/);
    });

    test('a cursor of another epoch is told by a gap, and all that is kept comes', async () => {
      const room = stage.durableRoom();
      const stream = streamOf(room);
      const { client } = await stage.user(transport, newOp());
      const { epoch } = await join(client, room.id);
      for (const body of ['a', 'b']) await stage.goim.pushRoom(newOp(), room, body);
      await client.shown(stream, 2);
      const { client: other } = await stage.user(transport, newOp());
      await join(other, { room: room.id, epoch: `before-${newKey()}`, position: 7 });
      const first = await other.delivered(stream);
      expect(first).toMatchObject({ epoch, gap: { reason: GapReason.Epoch } });
      const shown = first.entries.map(textOf);
      while (shown.length < 2) shown.push(...(await other.texts(stream, 1)));
      expect(shown).toEqual(['a', 'b']);
    });

    test('what a member sends comes once, also when it is repeated', async () => {
      const room = stage.durableRoom();
      const stream = streamOf(room);
      const { client } = await stage.user(transport, newOp());
      await join(client, room.id);
      const said = message({ room: room.id }, 'once');
      const first = await client.ask(SEND, said, SENT);
      expect(first).toMatchObject({ stream, duplicate: false });
      const [entry] = (await client.shown(stream, 1)) as [Shown];
      expect(entry).toMatchObject({ id: first.id, epoch: first.epoch });
      const again = await client.ask(SEND, said, SENT);
      expect(again).toMatchObject({ id: first.id, duplicate: true, position: entry.position });
      await client.ask(SEND, message({ room: room.id }, 'last'), SENT);
      expect(await client.texts(stream, 1)).toEqual(['last']);
    });
  });

  test('the window holds for a room, and for each alone', async () => {
    const [room, other] = [stage.durableRoom(), stage.durableRoom()];
    const { client: slow } = await stage.user('ws', newOp());
    const { client: quick } = await stage.user('tcp', newOp());
    quick.acknowledging = true;
    for (const client of [slow, quick]) for (const { id } of [room, other]) await join(client, id);
    const sent = numbered('push', slow.auth.windowEntries + 40);
    for (const body of sent) await stage.goim.pushRoom(newOp(), room, body);
    await stage.goim.pushRoom(newOp(), other, 'beside');
    await quick.shown(streamOf(room), sent.length);
    expect(await slow.texts(streamOf(other), 1)).toEqual(['beside']);
    slow.acknowledging = true;
    // Where it stands is only known to it by what came: from now on each frame is acknowledged, and this one opens it.
    const shown = await slow.shown(streamOf(room), 1);
    const waiting = await slow.shown(streamOf(room), slow.entriesWaiting(streamOf(room)));
    const last = [...shown, ...waiting].at(-1) as Shown;
    slow.ack({ stream: last.stream, epoch: last.epoch, position: last.position });
    const rest = await slow.shown(streamOf(room), sent.length - shown.length - waiting.length);
    expect([...shown, ...waiting, ...rest].map(textOf)).toEqual(sent);
  }, 60_000);
}

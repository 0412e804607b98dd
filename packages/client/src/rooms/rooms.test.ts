import { RoomsReply, TokenReply, type RoomsRequest } from '@halley/protocol/client/bodies';
import { OperationV2 } from '@halley/protocol/operation';
import { expect, test } from '@jest/globals';

import { memoryStore } from '../stores/memory.js';
import { settled } from '../testing/fake-clock.js';
import { AUTH_REPLY, type FakeConnection } from '../testing/fake-server.js';
import { connectedRig, entryAt, makeRig, positionsOf } from '../testing/harness.js';

const requests = (connection: FakeConnection): readonly RoomsRequest[] =>
  connection.of(OperationV2.Rooms).map(({ value }) => value as unknown as RoomsRequest);

const frame = (room: string, after: number, position: number): object => ({
  stream: `r/${room}`,
  epoch: 'e1',
  after,
  entries: [entryAt(position)],
  through: position,
});

test('a room is joined, and joined again with its cursor on the next connection', async () => {
  const rig = await connectedRig();
  await expect(rig.client.join('live://1', { start: 'oldest' })).resolves.toMatchObject({ durable: true });
  expect(requests(rig.server.last)[0]?.join).toEqual([
    { room: 'live://1', epoch: '', position: undefined, start: 1 },
  ]);
  rig.server.last.deliver(frame('live://1', -1, 5));
  await settled();
  rig.server.last.cut();
  await rig.clock.advance(1_000);
  expect(requests(rig.server.last)[0]?.join).toEqual([
    { room: 'live://1', epoch: 'e1', position: 5, start: 0 },
  ]);
  rig.server.last.deliver(frame('live://1', 5, 6));
  await settled();
  expect(positionsOf(rig, 'r/live://1')).toEqual([5, 6]);
});

test('a later start goes on at the cursor of the room', async () => {
  const store = memoryStore();
  const first = await connectedRig({ store });
  await first.client.join('a');
  first.server.last.deliver(frame('a', -1, 5));
  await settled();
  first.client.close();
  const second = makeRig({ store });
  const joined = second.client.join('a');
  await second.client.connect();
  await joined;
  expect(requests(second.server.last)[0]?.join).toMatchObject([{ room: 'a', epoch: 'e1', position: 5 }]);
});

test('frames of a room count only behind the answer to joining it', async () => {
  const rig = await connectedRig();
  rig.server.handlers.delete(OperationV2.Rooms);
  const joined = rig.client.join('a');
  await settled();
  rig.server.last.deliver(frame('a', 20, 21));
  const answers = [{ room: 'a', durable: true, epoch: 'e1', position: 3 }];
  rig.server.last.send(
    OperationV2.RoomsReply,
    RoomsReply,
    { answers },
    rig.server.last.of(OperationV2.Rooms)[0]?.seq,
  );
  rig.server.last.deliver(frame('a', 3, 4));
  await joined;
  await settled();
  expect(positionsOf(rig, 'r/a')).toEqual([4]);
  expect(rig.errors).toEqual([]);
});

test('a room that is refused rejects, and is not asked for again', async () => {
  const rig = await connectedRig();
  rig.server.handlers.set(OperationV2.Rooms, (connection, { seq }) => {
    const error = { code: 'room_not_granted', text: 'No.' };
    connection.send(OperationV2.RoomsReply, RoomsReply, { answers: [{ room: 'a', error }] }, seq);
  });
  await expect(rig.client.join('a')).rejects.toMatchObject({ code: 'room_not_granted', room: 'a' });
  rig.server.last.cut();
  await rig.clock.advance(1_000);
  expect(requests(rig.server.last)).toEqual([]);
  expect(rig.errors).toEqual([]);
});

test('a room that is refused when it is joined again is told as an error', async () => {
  const rig = await connectedRig();
  await rig.client.join('a');
  rig.server.handlers.set(OperationV2.Rooms, (connection, { seq }) => {
    const answers = [{ room: 'a', error: { code: 'room_not_granted' } }];
    connection.send(OperationV2.RoomsReply, RoomsReply, { answers }, seq);
  });
  rig.server.last.cut();
  await rig.clock.advance(1_000);
  expect(rig.errors.map(({ code, room }) => [code, room])).toEqual([['room_not_granted', 'a']]);
});

test('what is temporary is asked for again', async () => {
  const rig = await connectedRig();
  let asked = 0;
  rig.server.handlers.set(OperationV2.Rooms, (connection, { seq }) => {
    asked += 1;
    const error = asked === 1 ? { code: 'unavailable', temporary: true, retryAfterMs: 2_000 } : undefined;
    connection.send(OperationV2.RoomsReply, RoomsReply, { answers: [{ room: 'a', error }] }, seq);
  });
  const joined = rig.client.join('a');
  await rig.clock.advance(2_000);
  await expect(joined).resolves.toMatchObject({ room: 'a', durable: false });
});

test('a room that was left is not shown, not joined again, and its cursor is forgotten', async () => {
  const store = memoryStore();
  const rig = await connectedRig({ store });
  await rig.client.join('a');
  rig.server.last.deliver(frame('a', -1, 5));
  await settled();
  await rig.client.leave('a');
  rig.server.last.deliver(frame('a', 5, 6));
  rig.server.last.cut();
  await rig.clock.advance(1_000);
  expect(positionsOf(rig, 'r/a')).toEqual([5]);
  expect(requests(rig.server.connections[0] as FakeConnection)[1]?.leave).toEqual(['a']);
  expect(requests(rig.server.last)).toEqual([]);
  expect([...(await store.load()).keys()]).toEqual(['cursor:u/7']);
});

test('more rooms than fit into a body are joined by several requests', async () => {
  const rig = makeRig();
  const rooms = Array.from({ length: 100 }, (_, index) => `live://${'x'.repeat(50)}${index}`);
  const joined = rooms.map((room) => rig.client.join(room));
  await rig.client.connect();
  await Promise.all(joined);
  expect(requests(rig.server.last)).toHaveLength(2);
  expect(requests(rig.server.last).flatMap(({ join }) => join.map(({ room }) => room))).toEqual(rooms);
});

test("the token's room is followed from its end, and joined again with its cursor", async () => {
  const rig = makeRig();
  rig.server.onAuth = () => ({ ...AUTH_REPLY, room: 'a' });
  rig.server.handlers.set(OperationV2.Rooms, (connection, { seq }) => {
    const answers = [{ room: 'a', durable: true, epoch: 'e1', position: 10 }];
    connection.send(OperationV2.RoomsReply, RoomsReply, { answers }, seq);
  });
  await rig.client.connect();
  rig.server.last.deliver(frame('a', 10, 11));
  await settled();
  rig.server.last.cut();
  await rig.clock.advance(1_000);
  expect(requests(rig.server.last)[0]?.join).toMatchObject([{ room: 'a', position: 11 }]);
  expect(positionsOf(rig, 'r/a')).toEqual([11]);
});

test('rooms that a new token does not grant are left, and told', async () => {
  const rig = makeRig({ token: () => 't' });
  rig.server.onAuth = () => ({ ...AUTH_REPLY, tokenExpiresAtMs: 5_100_000 });
  rig.server.handlers.set(OperationV2.Token, (connection, { seq }) =>
    connection.send(OperationV2.TokenReply, TokenReply, { leftRooms: ['a'] }, seq),
  );
  await rig.client.connect();
  await rig.client.join('a');
  await rig.clock.advance(50_000);
  expect(rig.errors.map(({ code, room }) => [code, room])).toEqual([['room_not_granted', 'a']]);
  rig.server.last.cut();
  await rig.clock.advance(1_000);
  expect(requests(rig.server.last)).toEqual([]);
});

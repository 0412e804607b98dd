import {
  Ephemeral,
  ErrorBody,
  PresenceChanges,
  Receipts,
  type Presence,
  type PresenceRequest,
  type ReadPosition,
} from '@halley/protocol/client/bodies';
import { OperationV2 } from '@halley/protocol/operation';
import { describe, expect, test } from '@jest/globals';

import { settled } from './testing/fake-clock.js';
import { AUTH_REPLY } from './testing/fake-server.js';
import { connectedRig, makeRig, type Rig } from './testing/harness.js';

describe('read positions', () => {
  test('are told, and answered with what is unread', async () => {
    const rig = await connectedRig();
    rig.server.handlers.set(OperationV2.Receipts, (connection, { seq, value }) => {
      const [read] = (value as unknown as Receipts).positions;
      connection.send(OperationV2.Receipts, Receipts, { positions: [{ ...read, unread: 3 }] }, seq);
    });
    const read = await rig.client.markRead({ stream: 'r/a', epoch: 'e1', position: 5 });
    expect(read).toMatchObject({ stream: 'r/a', position: 5, unread: 3 });
  });

  test('of other devices and members, and those known when connecting, come as events', async () => {
    const rig = makeRig();
    const told: (readonly ReadPosition[])[] = [];
    rig.client.on('receipts', (positions) => void told.push(positions));
    rig.server.onAuth = () => ({ ...AUTH_REPLY, read: { stream: 'u/7', position: 1 } });
    await rig.client.connect();
    const mid = '9' as ReadPosition['mid'];
    rig.server.last.send(OperationV2.Receipts, Receipts, {
      positions: [{ stream: 'r/a', position: 2, mid }],
    });
    await settled();
    expect(told).toMatchObject([
      [{ stream: 'u/7', position: 1 }],
      [{ stream: 'r/a', position: 2, mid: '9' }],
    ]);
  });
});

describe('presence', () => {
  const online = (mid: string): Partial<Presence> => ({ mid: mid as Presence['mid'], online: true });

  /** Everybody is there. */
  function serve({ server }: Rig): void {
    server.handlers.set(OperationV2.Presence, (connection, { seq, value }) => {
      const users = (value as unknown as PresenceRequest).watch.map(online);
      connection.send(OperationV2.PresenceChanges, PresenceChanges, { users }, seq);
    });
  }

  test('is answered, changes come as events, and users are watched again on the next connection', async () => {
    const rig = await connectedRig();
    const told: string[] = [];
    rig.client.on('presence', (users) => void told.push(...users.map(({ mid }) => mid)));
    serve(rig);
    expect(await rig.client.watch('8', '9', '10')).toMatchObject([online('8'), online('9'), online('10')]);
    await rig.client.unwatch('9');
    rig.server.last.send(OperationV2.PresenceChanges, PresenceChanges, {
      users: [{ mid: '8' as Presence['mid'] }],
    });
    await settled();
    expect(told).toEqual(['8']);
    rig.server.last.cut();
    await rig.clock.advance(1_000);
    expect(rig.server.last.of(OperationV2.Presence)[0]?.value).toMatchObject({ watch: ['8', '10'] });
    expect(told).toEqual(['8', '8', '10']);
  });

  test('of more users than fit into a body is asked for in parts', async () => {
    const rig = await connectedRig();
    serve(rig);
    const users = Array.from({ length: 1_000 }, (_, index) => String(9_000_000_000 + index));
    expect(await rig.client.watch(...users)).toHaveLength(1_000);
    expect(rig.server.last.of(OperationV2.Presence)).toHaveLength(2);
  });
});

describe('ephemeral messages', () => {
  test('are sent only when there is a connection', async () => {
    const rig = makeRig();
    const typing = { room: 'a', operation: 1_000, body: 'typing', ttlMs: 3_000 };
    expect(rig.client.sendEphemeral(typing)).toBe(false);
    await rig.client.connect();
    expect(rig.client.sendEphemeral(typing)).toBe(true);
    expect(rig.server.last.of(OperationV2.Ephemeral).map(({ value }) => value)).toMatchObject([
      { room: 'a', toMid: '0', ttlMs: 3_000 },
    ]);
  });

  test('come as events', async () => {
    const rig = await connectedRig();
    const told: Ephemeral[] = [];
    rig.client.on('ephemeral', (one) => void told.push(one));
    rig.server.last.send(OperationV2.Ephemeral, Ephemeral, { room: 'a', fromKey: 'k' });
    await settled();
    expect(told).toMatchObject([{ room: 'a', fromKey: 'k' }]);
  });
});

test('a handler that is taken off hears nothing more', async () => {
  const rig = await connectedRig();
  let calls = 0;
  const off = rig.client.on('ephemeral', () => (calls += 1));
  rig.server.last.send(OperationV2.Ephemeral, Ephemeral, { room: 'a' });
  await settled();
  off();
  rig.server.last.send(OperationV2.Ephemeral, Ephemeral, { room: 'a' });
  await settled();
  expect(calls).toBe(1);
});

test('an error that answers nothing is told', async () => {
  const rig = await connectedRig();
  rig.server.last.send(OperationV2.Error, ErrorBody, { code: 'overloaded', temporary: true });
  await settled();
  expect(rig.errors.map(({ code, temporary }) => [code, temporary])).toEqual([['overloaded', true]]);
});

test('operations of a later version are stepped over', async () => {
  const rig = await connectedRig();
  rig.server.last.send(60, Ephemeral, {});
  await settled();
  expect(rig.client.state.name).toBe('connected');
});

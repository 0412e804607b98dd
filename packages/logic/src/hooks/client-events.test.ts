import { eventCodec } from '@halley/cluster/grpc/event-codec';
import type { ConnectionKey, MessageId, NodeId, RoomId, UserId } from '@halley/protocol/ids';
import { silentLogger } from '@halley/service/log';
import { Metrics } from '@halley/service/metrics';
import { type EventKind, EVENT_KINDS } from '@halley/store/events/config';
import type { QueuedEvent } from '@halley/store/events/event';
import { EmbeddedRoutes } from '@halley/store/routes/embedded';
import { beforeEach, describe, expect, test } from '@jest/globals';

import { OpenVerifier } from '../auth/open.js';
import { logicMetrics } from '../metrics.js';
import { Connector } from '../session/connect.js';
import { renew } from '../session/renew.js';
import { Kicker } from '../session/kick.js';
import { ClientEvents } from './client-events.js';

const NOW = 1_900_000_000_000;
let wanted: readonly EventKind[];
let offered: QueuedEvent[];
let events: ClientEvents;

beforeEach(() => {
  wanted = EVENT_KINDS;
  offered = [];
  events = new ClientEvents({
    events: { wants: (kind) => wanted.includes(kind), offer: (event) => void offered.push(event) },
    config: { maxBodyBytes: 4 },
    clock: { now: () => NOW, monotonicMs: () => 0 },
  });
});

const told = () => offered.map(({ encode }) => eventCodec.decode(encode()));
const ada = { mid: '1' as UserId, key: 'phone' as ConnectionKey };
const comet = 'comet-1' as NodeId;
const owner = `${NOW - 5_000}000-i1-0000000001`;
const means = { comet, transport: 'tcp', platform: 'ios', version: 1 } as const;
const message = (
  body: string,
  target: { kind: 'room'; room: RoomId } | { kind: 'users'; users: UserId[] },
) => ({
  id: 'c-1' as MessageId,
  target,
  operation: 1_000,
  body: Buffer.from(body),
  durable: true,
  expireAtMs: 0,
  sender: { ...ada, clientId: 'x', toMid: (target.kind === 'room' ? '0' : '2') as UserId },
});

describe('connections', () => {
  test('a connection has one name, and a call that is repeated the same ids', () => {
    for (const _ of [1, 2]) {
      events.connected({ ...ada, owner }, means);
      events.disconnected({ ...ada, owner }, comet, { code: 3004, reason: 'No heartbeat in time.' });
    }
    const [first, second, ...again] = told();
    expect(again).toEqual([first, second]);
    expect(first).toMatchObject({ mid: '1', key: 'phone', at_ms: String(NOW), connected: means });
    expect(second?.disconnected).toEqual({
      connection: first?.connected?.connection,
      comet,
      code: 3004,
      reason: 'No heartbeat in time.',
      connected_for_ms: '5000',
    });
    expect(first?.id).not.toBe(second?.id);
    expect(first?.connected?.connection).not.toContain(owner);
  });

  test('that of who has no user keep their order by key', () => {
    events.connected({ mid: '0' as UserId, key: 'k' as ConnectionKey, owner }, means);
    expect(offered[0]).toMatchObject({ kind: 'connected', key: 'k', stream: 'k/k' });
  });

  test('who is taken over is told to have gone before who came', async () => {
    const routes = new EmbeddedRoutes({ leaseMs: 60_000 });
    const metrics = logicMetrics(new Metrics({ process: false }));
    const kicker = new Kicker({ comets: { kick: async () => 1 }, metrics, log: silentLogger() });
    const openMany = async () => [{ stream: 'u/1', epoch: 'e', position: 0, kept: true, atEnd: true }];
    const verifier = new OpenVerifier();
    const connector = new Connector({ verifier, routes, kicker, cursors: { openMany }, metrics, events });
    const connect = (node: string, counter: number) =>
      connector.connect({
        token: Buffer.from('{"mid":1,"key":"phone","platform":"web"}'),
        at: { node: node as NodeId, incarnation: 'i' },
        counter,
        transport: 'websocket',
        version2: { start: undefined },
      });
    await connect('a', 1);
    await connect('b', 1);
    const [first, gone, second] = told();
    expect(told().map(({ kind }) => kind)).toEqual(['connected', 'disconnected', 'connected']);
    expect(first?.connected).toMatchObject({
      comet: 'a',
      transport: 'websocket',
      platform: 'web',
      version: 2,
    });
    expect(gone?.disconnected).toMatchObject({
      connection: first?.connected?.connection,
      comet: 'a',
      code: 3503,
    });
    expect(second?.connected?.comet).toBe('b');
  });
});

describe('messages', () => {
  test('to a user and to a room, with a body that is not too large', () => {
    events.messageIn(ada, message('hi', { kind: 'users', users: [] }), { stream: 'u/1', epoch: 'e' });
    events.messageIn(ada, message('hello', { kind: 'room', room: 'chat://a' as RoomId }), {
      stream: '',
      epoch: '',
    });
    const [toUser, toRoom] = told();
    expect(toUser?.message_in).toMatchObject({
      message_id: 'c-1',
      client_id: 'x',
      room: '',
      to_mid: '2',
      operation: 1_000,
      body: Buffer.from('hi'),
      body_bytes: 2,
      stream: 'u/1',
      epoch: 'e',
    });
    expect(toRoom?.message_in).toMatchObject({ room: 'chat://a', to_mid: '0', body_bytes: 5, stream: '' });
    expect(toRoom?.message_in?.body).toBeFalsy();
  });
});

describe('how far a device is', () => {
  const session = { ...ada, owner, wants_newest: false };
  const cursor = { stream: 'u/1', epoch: 'e', position: '7' };

  test('is told when it acknowledged more, and not of a device that acknowledges nothing', async () => {
    const routes = new EmbeddedRoutes({ leaseMs: 60_000 });
    const cursors = { save: async () => undefined, newest: async () => new Map() };
    const sessions = [
      { ...session, cursor, acknowledged: true, moved: true },
      { ...session, cursor, acknowledged: true, moved: false },
      { ...session, cursor, acknowledged: false, moved: true },
      { ...session, cursor: null, acknowledged: true, moved: true },
    ];
    const request = {
      comet: { node: 'a', incarnation: 'i' },
      sessions,
      rooms: [],
      streams: [],
      online: null,
    };
    await renew(request, { routes, online: undefined as never, cursors, events, routeLeaseMs: 1 });
    expect(told().map(({ delivered }) => delivered)).toEqual([cursor]);
  });

  test('and how far a user has read, once for each stream', () => {
    const moved = ['u/1', 'r/chat://a'].map((stream) => ({
      stream,
      epoch: 'e',
      position: 9,
      unread: 0,
      mid: '0' as UserId,
      atMs: NOW,
    }));
    events.read(ada, moved);
    expect(told().map(({ read }) => read?.stream)).toEqual(['u/1', 'r/chat://a']);
    expect(new Set(told().map(({ id }) => id)).size).toBe(2);
  });
});

test('what nobody wants is not even made', () => {
  wanted = [];
  events.connected({ ...ada, owner }, means);
  events.disconnected({ ...ada, owner }, comet, { code: 0, reason: '' });
  events.messageIn(ada, message('hi', { kind: 'users', users: [] }), { stream: '', epoch: '' });
  events.delivered(ada, { stream: 'u/1', epoch: 'e', position: 1 });
  events.read(ada, [{ stream: 'u/1', epoch: 'e', position: 1, unread: 0, mid: '0' as UserId, atMs: 0 }]);
  expect(offered).toEqual([]);
});

import { Move } from '@halley/protocol/client/bodies';
import { Operation, OperationV2 } from '@halley/protocol/operation';
import { describe, expect, test } from '@jest/globals';

import { climb } from '../fallback.js';
import { memoryStore } from '../stores/memory.js';
import { settled } from '../testing/fake-clock.js';
import { AUTH_REPLY, FakeServer } from '../testing/fake-server.js';
import { connectedRig, entryAt, makeRig, positionsOf, type Rig } from '../testing/harness.js';
import type { TransportName } from '../transport/transport.js';

const INBOX = { stream: 'u/7', epoch: 'e1' };

/** By which transports connections were begun, the oldest first. */
function tried({ server }: Rig): readonly string[] {
  return server.connections.map(({ transport }) => transport);
}

/** A rig behind a proxy which goes up by itself, connected by whatever gets through. */
async function behind(
  proxy: Partial<Record<'refused' | 'swallowed', readonly TransportName[]>>,
  options: Parameters<typeof makeRig>[0] = {},
): Promise<Rig> {
  const server = options.server ?? new FakeServer();
  for (const name of proxy.refused ?? []) server.refused.add(name);
  for (const name of proxy.swallowed ?? []) server.swallowed.add(name);
  const rig = makeRig({ climb, ...options, server });
  const connected = rig.client.connect();
  // Far above all backoff and handshakes.
  for (let turn = 0; turn < 600 && rig.client.state.name !== 'connected'; turn += 1)
    await rig.clock.advance(100);
  await connected;
  return rig;
}

describe('falling back', () => {
  test('a WebSocket that is refused is tried twice, then comes SSE', async () => {
    const rig = await behind({ refused: ['websocket'] });
    expect(tried(rig)).toEqual(['websocket', 'websocket', 'sse']);
    expect(rig.client.transport).toBe('sse');
    expect(rig.transports).toEqual(['sse']);
  });

  test('where nothing but polls gets through it polls', async () => {
    const rig = await behind({ refused: ['websocket', 'sse'] });
    expect(tried(rig)).toEqual(['websocket', 'websocket', 'sse', 'sse', 'poll']);
  });

  test('what connects and then is silent is not tried twice', async () => {
    const rig = await behind({ swallowed: ['websocket', 'sse'] });
    expect(tried(rig)).toEqual(['websocket', 'sse', 'poll']);
    expect(rig.states.filter(({ name }) => name === 'waiting')).toMatchObject([
      { reason: { code: 'handshake_timeout' } },
      { reason: { code: 'handshake_timeout' } },
    ]);
  });

  test('below the last one it begins again', async () => {
    const rig = makeRig({ fallbackAfter: 1 });
    rig.server.down.add('ws://a:1');
    rig.client.connect().catch(() => undefined);
    await rig.clock.advance(10_000);
    expect(tried(rig).slice(0, 5)).toEqual(['websocket', 'sse', 'poll', 'websocket', 'sse']);
    rig.client.close();
  });

  test('the option says which, in which order, and after how many failures', async () => {
    const rig = await behind({ refused: ['poll'] }, { transports: ['poll', 'websocket'], fallbackAfter: 3 });
    expect(tried(rig)).toEqual(['poll', 'poll', 'poll', 'websocket']);
  });

  test('what the server itself says is no failure of the transport', async () => {
    const server = new FakeServer();
    let full = 4;
    server.onAuth = (connection) => {
      if ((full -= 1) < 0) return AUTH_REPLY;
      connection.cut(3006);
      return undefined;
    };
    const rig = await behind({}, { server });
    expect(new Set(tried(rig))).toEqual(new Set(['websocket']));
  });

  test('several addresses share what failed, and a TCP one is tried by TCP only', async () => {
    const addresses = ['ws://a:1', 'wss://b:1', 'tcp://c:1'];
    const rig = await behind({ refused: ['websocket', 'tcp'] }, { addresses });
    expect(tried(rig).filter((name) => name === 'websocket')).toHaveLength(2);
    expect(rig.client.transport).toBe('sse');
    expect(rig.server.connections.map(({ address, transport }) => [address[0], transport === 'tcp'])).toEqual(
      rig.server.connections.map(({ address }) => [address[0], address.startsWith('tcp')]),
    );
  });
});

describe('what worked', () => {
  test('is where the next connection begins', async () => {
    const rig = await behind({ refused: ['websocket'] });
    rig.server.last.cut();
    await rig.clock.advance(2_000);
    expect(tried(rig)).toEqual(['websocket', 'websocket', 'sse', 'sse']);
    expect(rig.transports).toEqual(['sse']);
  });

  test('is known by address', async () => {
    const server = new FakeServer();
    const rig = await behind({ refused: ['websocket'] }, { server, addresses: ['ws://a:1', 'ws://b:1'] });
    const sse = rig.server.last.address;
    server.refused.clear();
    server.refused.add('sse');
    rig.server.last.cut();
    await rig.clock.advance(20_000);
    expect(rig.client.transport).toBe('poll');
    expect(rig.server.last.address).not.toBe(sse);
  });

  test('is kept in the store while it is not the best', async () => {
    const store = memoryStore();
    const rig = await behind({ refused: ['websocket', 'sse'] }, { store });
    await settled();
    expect((await store.load()).get('transport')).toBe('poll');
    rig.client.close();
    const later = await connectedRig({ server: rig.server, clock: rig.clock, store, climb });
    expect(later.client.transport).toBe('poll');
    rig.server.refused.clear();
    await rig.clock.advance(60_000);
    expect(later.client.transport).toBe('websocket');
    expect((await store.load()).has('transport')).toBe(false);
  });

  test('is forgotten when it does not work any more', async () => {
    const rig = await behind({ refused: ['websocket'] });
    rig.server.refused.add('sse').delete('websocket');
    rig.server.last.cut();
    await rig.clock.advance(20_000);
    expect(rig.client.transport).toBe('poll');
  });
});

describe('going up', () => {
  test('tries the better ones beside the one in use, the best first', async () => {
    const rig = await behind({ refused: ['websocket', 'sse'] });
    const before = rig.states.length;
    await rig.clock.advance(60_000);
    expect(tried(rig).slice(5)).toEqual(['websocket', 'sse']);
    rig.server.refused.delete('sse');
    await rig.clock.advance(60_000);
    expect(tried(rig).slice(7)).toEqual(['websocket', 'sse']);
    expect(rig.client.transport).toBe('sse');
    rig.server.refused.clear();
    await rig.clock.advance(60_000);
    expect(rig.client.transport).toBe('websocket');
    expect(rig.transports).toEqual(['poll', 'sse', 'websocket']);
    expect(rig.states.slice(before).map(({ name }) => name)).toEqual(['connected', 'connected']);
    await rig.clock.advance(300_000);
    expect(rig.server.last.transport).toBe('websocket');
    expect(rig.server.connections.filter(({ ended }) => !ended)).toHaveLength(1);
  });

  test('is at the same address', async () => {
    const rig = await behind({ refused: ['websocket'] }, { addresses: ['ws://a:1', 'ws://b:1', 'ws://c:1'] });
    const { address } = rig.server.last;
    rig.server.refused.clear();
    await rig.clock.advance(60_000);
    expect(rig.server.last).toMatchObject({ address, transport: 'websocket' });
  });

  test('begins to count anew with each connection, and ends with the client', async () => {
    const rig = await behind({ refused: ['websocket'] }, { upgradeAfterMs: 20_000 });
    await rig.clock.advance(15_000);
    rig.server.last.cut();
    await rig.clock.advance(15_000);
    expect(tried(rig)).toEqual(['websocket', 'websocket', 'sse', 'sse']);
    await rig.clock.advance(10_000);
    expect(tried(rig)).toHaveLength(5);
    rig.client.close();
    await settled();
    expect(rig.clock.pending).toBe(0);
  });

  test('where the answer is swallowed and the server has ended the old one, it is tried more and more rarely', async () => {
    const rig = await behind({ swallowed: ['websocket'] }, { transports: ['websocket', 'poll'] });
    const { server } = rig;
    server.onAuth = (connection, { cursor }) => {
      const others = server.connections.filter((other) => other !== connection && !other.ended);
      for (const other of others) other.cut(3503);
      return { ...AUTH_REPLY, inbox: { ...INBOX, position: cursor?.position ?? -1 } };
    };
    const trials: number[] = [];
    let goneMs = 0;
    for (let second = 0; second < 1_800; second += 1) {
      const before = server.connections.length;
      await rig.clock.advance(1_000);
      if (server.connections.slice(before).some(({ transport }) => transport === 'websocket')) {
        trials.push(second);
      }
      if (rig.client.state.name !== 'connected') goneMs += 1_000;
      else expect(rig.client.transport).toBe('poll');
    }
    // After 1, 2, 4, 8 … minutes; each costs three seconds and the backoff of one attempt.
    const pauses = trials.slice(1).map((second, index) => (second - (trials[index] ?? 0)) / 60);
    expect(pauses.map((minutes) => Math.round(minutes))).toEqual([2, 4, 8]);
    expect(goneMs).toBeLessThanOrEqual(trials.length * 5_000);
  });
});

describe('chosen by hand', () => {
  const all: readonly TransportName[] = ['tcp', 'websocket', 'sse', 'poll', 'websocket'];

  test('it moves from each to the next, and shows each message once, in order', async () => {
    const rig = await connectedRig({ climb, addresses: ['tcp://a:1', 'ws://a:2'] });
    const { client, server } = rig;
    let position = 2;
    for (const name of all) {
      const { last: old } = server;
      old.deliver({ ...INBOX, after: position - 3, entries: [entryAt(position - 2)], through: position - 2 });
      const moved = client.useTransport(name);
      old.deliver({ ...INBOX, after: position - 2, entries: [entryAt(position - 1)], through: position - 1 });
      await moved;
      expect(client.transport).toBe(name);
      // What the old one had not brought yet, and again what it had.
      server.last.deliver({
        ...INBOX,
        after: position - 3,
        entries: [entryAt(position - 2), entryAt(position - 1), entryAt(position)],
        through: position,
      });
      await settled();
      position += 3;
    }
    expect(positionsOf(rig)).toEqual(Array.from({ length: 15 }, (_, index) => index));
    expect(rig.gaps).toEqual([]);
    expect(rig.states.map(({ name }) => name)).not.toContain('waiting');
  });

  test('what was sent and is not answered goes again under the same id', async () => {
    const rig = await connectedRig({ climb });
    const { server } = rig;
    const handler = server.handlers.get(OperationV2.Send);
    server.handlers.delete(OperationV2.Send);
    const sent = rig.client.send({ toMid: 8, operation: 1_000, body: 'x', clientId: 'c1' });
    await rig.client.useTransport('poll');
    const [old] = server.connections;
    if (handler) server.handlers.set(OperationV2.Send, handler);
    old?.cut(3503);
    await settled();
    expect(await sent).toMatchObject({ id: 'id-c1' });
    const ids = server.connections.map((one) =>
      one.of(OperationV2.Send).map(({ value }) => value['clientId']),
    );
    expect(ids).toEqual([['c1'], ['c1']]);
  });

  test('one that does not get through is told, and all stays as it is', async () => {
    const rig = await connectedRig({ climb });
    rig.server.refused.add('sse');
    await expect(rig.client.useTransport('sse')).rejects.toMatchObject({ code: 'connection_lost' });
    expect(rig.client.transport).toBe('websocket');
    rig.server.last.cut();
    rig.server.connections[0]?.cut();
    await rig.clock.advance(2_000);
    expect(rig.client.transport).toBe('websocket');
    await expect(rig.client.useTransport('tcp')).rejects.toMatchObject({ code: 'no_address' });
  });

  test('one that the server refuses for good is told, and the connection in use goes on', async () => {
    const rig = await connectedRig({ climb });
    rig.server.onAuth = (connection) => {
      connection.cut(3504);
      return undefined;
    };
    await expect(rig.client.useTransport('sse')).rejects.toMatchObject({ code: 'key_in_use' });
    expect([rig.client.state.name, rig.client.transport]).toEqual(['connected', 'websocket']);
  });

  test('it is kept until it does not get through, or none is named', async () => {
    const rig = await connectedRig({ climb });
    await rig.client.useTransport('poll');
    await rig.clock.advance(200_000);
    rig.server.last.cut();
    await rig.clock.advance(2_000);
    expect(rig.client.transport).toBe('poll');
    await rig.client.useTransport();
    await rig.clock.advance(60_000);
    expect(rig.client.transport).toBe('websocket');
    await rig.client.useTransport('sse');
    rig.server.refused.add('sse');
    rig.server.last.cut();
    await rig.clock.advance(20_000);
    expect(rig.client.transport).not.toBe('sse');
    expect(rig.client.state.name).toBe('connected');
  });

  test('ahead of connect it is where it begins; later choices take the place of earlier ones', async () => {
    const rig = makeRig({ climb });
    await rig.client.useTransport('sse');
    await rig.client.connect();
    expect(tried(rig)).toEqual(['sse']);
    const first = rig.client.useTransport('poll');
    const second = rig.client.useTransport('websocket');
    await expect(first).rejects.toMatchObject({ code: 'connection_lost' });
    await second;
    expect(rig.client.transport).toBe('websocket');
    const third = rig.client.useTransport('poll');
    rig.client.close();
    await expect(third).rejects.toMatchObject({ code: 'closed' });
    await expect(rig.client.useTransport('sse')).rejects.toMatchObject({ code: 'closed' });
  });

  test('a move of the server and one by hand end at the node, by the transport', async () => {
    const rig = await connectedRig({ climb });
    rig.server.last.send(OperationV2.Move, Move, { nodes: ['b:2'], delayMs: 3_000, closesInMs: 60_000 });
    await settled();
    await rig.client.useTransport('sse');
    expect(rig.server.last).toMatchObject({ address: 'ws://b:2', transport: 'sse' });
    await rig.clock.advance(10_000);
    expect(rig.server.connections.filter(({ ended }) => !ended)).toHaveLength(1);
  });
});

test('retryNow sees at once whether the connection still holds', async () => {
  const rig = await connectedRig();
  rig.server.last.silent = true;
  rig.client.retryNow();
  expect(rig.server.last.of(Operation.Heartbeat)).toHaveLength(1);
  await rig.clock.advance(10_000);
  expect(rig.client.state).toMatchObject({ name: 'waiting', reason: { code: 'heartbeat_timeout' } });
});

import { ErrorBody, Move } from '@halley/protocol/client/bodies';
import { OperationV2 } from '@halley/protocol/operation';
import { describe, expect, test } from '@jest/globals';

import { settled } from '../testing/fake-clock.js';
import { connectedRig, entryAt, makeRig, positionsOf, type Rig } from '../testing/harness.js';

const INBOX = { stream: 'u/7', epoch: 'e1' };
const names = ({ states }: Rig): readonly string[] => states.map(({ name }) => name);

describe('moving', () => {
  async function moving(rig: Rig, nodes: readonly string[]): Promise<void> {
    rig.server.last.send(OperationV2.Move, Move, { nodes, delayMs: 3_000, closesInMs: 60_000 });
    await rig.clock.advance(3_000);
  }

  test('connects there first, under the same key, and is connected all the time', async () => {
    const rig = await connectedRig({ addresses: 'wss://a:1/sub' });
    const [old] = rig.server.connections;
    rig.server.last.deliver({ ...INBOX, after: -1, entries: [entryAt(3)], through: 3 });
    await moving(rig, ['b', 'c:9']);
    expect(rig.server.last.address).toBe('wss://b:1/sub');
    expect(rig.server.last.auth?.cursor).toEqual({ epoch: 'e1', position: 3 });
    expect(names(rig)).toEqual(['connecting', 'connected', 'connected']);
    old?.deliver({ ...INBOX, after: 3, entries: [entryAt(4)], through: 4 });
    rig.server.last.deliver({ ...INBOX, after: 3, entries: [entryAt(4), entryAt(5)], through: 5 });
    await settled();
    expect(positionsOf(rig)).toEqual([3, 4, 5]);
    old?.cut(3503);
    await rig.clock.advance(100);
    expect(rig.client.state).toMatchObject({ name: 'connected', address: 'wss://b:1/sub' });
  });

  test('the old connection is left if it does not end by itself', async () => {
    const rig = await connectedRig();
    await moving(rig, ['b:2']);
    await rig.clock.advance(5_000);
    expect(rig.server.connections.map(({ ended }) => ended)).toEqual([true, false]);
    expect(rig.client.state.name).toBe('connected');
  });

  test('close ends the old connection too', async () => {
    const rig = await connectedRig();
    await moving(rig, ['b:2']);
    rig.client.close();
    await settled();
    expect(rig.server.connections.map(({ ended }) => ended)).toEqual([true, true]);
    expect(rig.clock.pending).toBe(0);
  });

  test('a connection that ends while another one is about to be made leaves one attempt', async () => {
    let asked = 0;
    let answer: (token: string) => void = () => undefined;
    const rig = makeRig({
      token: () => ((asked += 1) === 1 ? 't' : new Promise<string>((resolve) => (answer = resolve))),
    });
    await rig.client.connect();
    await moving(rig, ['b:2']);
    rig.server.last.cut();
    await rig.clock.advance(500);
    answer('t');
    await rig.clock.advance(1_000);
    expect(rig.server.connections.filter(({ ended }) => !ended)).toHaveLength(1);
    expect(rig.client.state.name).toBe('connected');
  });

  test('a taking over that comes ahead of the answer is no end', async () => {
    const rig = await connectedRig();
    const [old] = rig.server.connections;
    rig.server.onAuth = () => undefined;
    await moving(rig, []);
    old?.cut(3503);
    await settled();
    expect(rig.client.state.name).toBe('connecting');
  });

  test('a node that is not there is followed by the next, while the old one serves', async () => {
    const rig = await connectedRig();
    rig.server.down.add('ws://b:2');
    await moving(rig, ['b:2', 'c:3']);
    await rig.clock.advance(2_000);
    expect(rig.client.state).toMatchObject({ name: 'connected', address: 'ws://c:3' });
    expect(names(rig)).toEqual(['connecting', 'connected', 'connected']);
  });

  test('what was asked on the old connection is answered there', async () => {
    const rig = await connectedRig();
    rig.server.handlers.delete(OperationV2.Send);
    const sent = rig.client.send({ toMid: 8, operation: 1_000, body: 'x' });
    await moving(rig, ['b:2']);
    const [old] = rig.server.connections;
    const request = old?.of(OperationV2.Send)[0];
    expect(rig.server.last.of(OperationV2.Send)).toEqual([]);
    old?.send(OperationV2.Error, ErrorBody, { code: 'send_not_granted', outcome: 1 }, request?.seq);
    await expect(sent).rejects.toMatchObject({ code: 'send_not_granted', outcome: 'refused' });
  });
});

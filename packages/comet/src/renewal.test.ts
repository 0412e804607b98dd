import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { CloseCode } from '@halley/protocol/close-code';
import { HalleyError } from '@halley/protocol/error';
import { readInt32 } from '@halley/protocol/frame';
import { silentLogger } from '@halley/service/log';

import { Renewal } from './renewal.js';
import { FakeClock } from './testing/fake-clock.js';
import { CometHarness, until } from './testing/harness.js';
import { frame } from './testing/test-client.js';

describe('renewal', () => {
  let harness: CometHarness;
  let clock: FakeClock;
  let renewal: Renewal;
  let lost: number;
  const tick = async (ms = 1_000): Promise<void> => {
    clock.advance(ms);
    renewal.tick();
    await renewal.settled();
  };

  beforeEach(async () => {
    // The comet's own renewal stands still.
    harness = await CometHarness.start({
      renewal: { intervalMs: 3_600_000, roundMs: 8_000, figuresMs: 10_000 },
      leaveRoomAfterMs: 10,
    });
    clock = new FakeClock();
    lost = 0;
    const { table, streams, rooms, directory, releases } = harness.comet;
    renewal = new Renewal(
      { intervalMs: 1_000, roundMs: 8_000, figuresMs: 10_000 },
      {
        logic: harness.logic,
        table,
        streams,
        rooms,
        directory,
        releases,
        clock,
        log: silentLogger(),
        onLeaseLost: () => {
          lost += 1;
        },
      },
    );
  });
  afterEach(() => harness.stop());

  test('each session and room is renewed within a round of 8 s, a slice each second', async () => {
    for (let i = 0; i < 20; i += 1) await harness.tcpOf({ mid: i, key: `k${i}`, room_id: `r${i}` });
    for (let i = 0; i < 8; i += 1) await tick();
    const { renewals } = harness.logic;
    expect(renewals.every(({ sessions }) => sessions.length <= 3)).toBe(true);
    expect(new Set(renewals.flatMap(({ sessions }) => sessions.map(({ key }) => key))).size).toBe(20);
    expect(new Set(renewals.flatMap(({ rooms }) => rooms)).size).toBe(20);
  });

  test('when the route store was lost everything is renewed at once', async () => {
    for (let i = 0; i < 20; i += 1) await harness.tcpOf({ mid: i, key: `k${i}`, room_id: 'r' });
    await tick();
    harness.logic.generation = 'g2';
    await tick();
    harness.logic.renewals.length = 0;
    await tick();
    expect(harness.logic.renewals[0]?.sessions).toHaveLength(20);
    expect(harness.logic.renewals[0]?.rooms).toEqual(['r']);
    harness.logic.renewals.length = 0;
    await tick();
    expect(harness.logic.renewals[0]?.sessions.length).toBeLessThan(20);
  });

  test('a renewal of everything that fails is tried again', async () => {
    for (let i = 0; i < 20; i += 1) await harness.tcpOf({ mid: i, key: `k${i}` });
    renewal.renewAllSoon();
    harness.logic.failure = new HalleyError('no_node');
    await tick();
    harness.logic.failure = undefined;
    await tick();
    expect(harness.logic.renewals.at(-1)?.sessions).toHaveLength(20);
  });

  test('figures are told soon after the first connection and then every 10 s; emptied rooms are gone from them', async () => {
    const client = await harness.tcpOf({ mid: 1, room_id: 'r' });
    await tick();
    expect(harness.logic.renewals.at(-1)?.online).toEqual(new Map([['r', 1]]));
    for (let i = 0; i < 9; i += 1) await tick();
    expect(harness.logic.renewals.slice(-9).every(({ online }) => online === undefined)).toBe(true);
    await tick();
    expect(harness.logic.renewals.at(-1)?.online).toEqual(new Map([['r', 1]]));
    client.send(frame(12, ''));
    await client.next();
    await tick();
    expect(harness.logic.renewals.at(-1)?.online).toEqual(new Map());
  });

  test("a heartbeat counts the own members now and the others' as last renewed", async () => {
    const client = await harness.tcpOf({ mid: 1, room_id: 'r' });
    harness.logic.cluster = new Map([['r', 11]]);
    await tick();
    await harness.tcpOf({ mid: 2, room_id: 'r' });
    client.send(frame(2));
    expect(readInt32((await client.next()).body, 0)).toBe(12);
  });

  test('connections whose route has a newer owner are closed, and leave its route alone', async () => {
    const client = await harness.wsOf({ mid: 1, key: 'k' });
    const other = await harness.wsOf({ mid: 2, key: 'other' });
    const owner = harness.logic.routes.get('k') as string;
    harness.logic.superseded = [
      { mid: '1' as never, key: 'k' as never, owner },
      { mid: '2' as never, key: 'other' as never, owner: 'an older one' },
    ];
    await tick();
    expect((await client.end()).code).toBe(CloseCode.TakenOver);
    expect(other.ended).toBeUndefined();
    expect(harness.logic.calls).not.toContain('disconnect k');
  });

  test('a session or room that leaves while its renewal is on its way does not come back with it', async () => {
    const { logic } = harness;
    const client = await harness.tcpOf({ mid: 1, key: 'k', room_id: 'r' });
    await harness.tcpOf({ mid: 2, key: 'stays', room_id: 'stays' });
    let carryOut = (): void => undefined;
    const held = new Promise<void>((resolve) => {
      carryOut = resolve;
    });
    const renew = logic.renew.bind(logic);
    logic.renew = async (ask) => {
      await held;
      for (const { key, owner } of ask.sessions) logic.routes.set(key, owner);
      for (const room of ask.rooms) logic.rooms.add(room);
      return renew(ask);
    };
    renewal.renewAllSoon();
    renewal.tick();
    client.close();
    await until(() => logic.calls.includes('disconnect k') && logic.calls.includes('leave r'));
    carryOut();
    await renewal.settled();
    await until(() => harness.comet.releases.pending === 0 && harness.comet.directory.size === 1);
    expect([...logic.routes.keys()]).toEqual(['stays']);
    expect([...logic.rooms]).toEqual(['stays']);
  });

  test('a short lease is renewed several times while it runs', async () => {
    harness.logic.leaseMs = 12_000;
    for (let i = 0; i < 20; i += 1) await harness.tcpOf({ mid: i, key: `k${i}` });
    await tick();
    harness.logic.renewals.length = 0;
    for (let i = 0; i < 3; i += 1) await tick();
    expect(
      new Set(harness.logic.renewals.flatMap(({ sessions }) => sessions.map(({ key }) => key))).size,
    ).toBe(20);
    harness.logic.leaseMs = 2_000;
    await tick();
    await tick();
    expect(harness.logic.renewals.at(-1)?.sessions).toHaveLength(20);
  });

  test('a lease that logic does not tell is as it was', async () => {
    harness.logic.leaseMs = 20_000;
    await tick();
    harness.logic.leaseMs = 0;
    await tick();
    await tick(21_000);
    expect(lost).toBe(1);
  });

  test('before logic has told its lease a pause of 60 s is too long', async () => {
    renewal.tick();
    harness.logic.failure = new HalleyError('no_node');
    await tick(59_000);
    expect(lost).toBe(0);
    await tick(61_000);
    expect(lost).toBe(1);
  });

  test('a pause longer than the lease is noticed; a shorter one is not', async () => {
    await tick();
    await tick(59_000);
    expect(lost).toBe(0);
    await tick(61_000);
    expect(lost).toBe(1);
  });
});

import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { CloseCode } from '@halley/protocol/close-code';

import { TAKEN_OVER_REASON } from '../session/session-table.js';
import { CometHarness, until } from '../testing/harness.js';
import { frame } from '../testing/test-client.js';
import { kick } from './kick.js';

describe('a kick of a connection that is still authenticating', () => {
  let harness: CometHarness;
  let enter: () => void;
  const kickOwner = (owner: string, code: CloseCode) =>
    kick(
      { comet_incarnation: 'i', code, reason: 'bye', targets: [{ mid: '1', key: 'k', owner }] },
      { table: harness.comet.table, earlyKicks: harness.comet.earlyKicks, incarnation: 'i' },
    );

  /** A client whose route is written, and whose room is not yet. */
  const authenticating = async () => {
    const gate = new Promise<void>((resolve) => (enter = resolve));
    let entering = false;
    harness.logic.enterRoom = async () => {
      entering = true;
      await gate;
      return { durable: false };
    };
    const client = await harness.ws();
    client.send(frame(7, '{"mid":1,"key":"k","room_id":"r"}'));
    await until(() => entering);
    return client;
  };

  beforeEach(async () => {
    harness = await CometHarness.start();
  });
  afterEach(() => harness.stop());

  test('closes it at the end of its handshake: its route is another connection by now', async () => {
    const client = await authenticating();
    expect(kickOwner('0000000001', CloseCode.TakenOver)).toEqual({ closed: 0 });
    enter();
    expect(await client.end()).toEqual({ code: CloseCode.TakenOver, reason: TAKEN_OVER_REASON });
    expect(client.frames).toEqual([]);
    expect(harness.comet.table.size).toBe(0);
    expect(harness.comet.earlyKicks.size).toBe(0);
    expect(harness.logic.calls).not.toContain('disconnect k');
  });

  test('takes its route away when nobody else has it', async () => {
    const client = await authenticating();
    kickOwner('0000000001', CloseCode.Kicked);
    enter();
    expect(await client.end()).toEqual({ code: CloseCode.Kicked, reason: 'bye' });
    await until(() => harness.logic.calls.includes('disconnect k'));
  });

  test('tells of a takeover in the same words, wherever the newer connection is', async () => {
    const reasons: string[] = [];
    for (const elsewhere of [true, false]) {
      const client = await harness.wsOf({ mid: 1, key: 'k' });
      if (elsewhere) kickOwner(harness.logic.routes.get('k') ?? '', CloseCode.TakenOver);
      else await harness.wsOf({ mid: 1, key: 'k' });
      reasons.push((await client.end()).reason);
    }
    expect(reasons).toEqual([TAKEN_OVER_REASON, TAKEN_OVER_REASON]);
  });

  test('does not touch a connection of another owner', async () => {
    const client = await authenticating();
    kickOwner('0000000000', CloseCode.TakenOver);
    kickOwner('', CloseCode.Kicked);
    enter();
    expect(await client.next()).toMatchObject({ op: 8 });
  });
});

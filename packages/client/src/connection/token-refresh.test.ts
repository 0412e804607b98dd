import { TokenReply } from '@halley/protocol/client/bodies';
import { OperationV2 } from '@halley/protocol/operation';
import { describe, expect, test } from '@jest/globals';

import { AUTH_REPLY } from '../testing/fake-server.js';
import { makeRig } from '../testing/harness.js';

describe('tokens', () => {
  const life = (ms: number): object => ({ ...AUTH_REPLY, tokenExpiresAtMs: 5_000_000 + ms });

  test('are renewed before they expire, by the clock of the server', async () => {
    let number = 0;
    const rig = makeRig({ token: () => `t${(number += 1)}` });
    rig.server.onAuth = () => life(600_000);
    rig.server.handlers.set(OperationV2.Token, (connection, { seq }) =>
      connection.send(OperationV2.TokenReply, TokenReply, { tokenExpiresAtMs: 6_000_000 }, seq),
    );
    await rig.client.connect();
    await rig.clock.advance(539_999);
    expect(rig.server.last.of(OperationV2.Token)).toEqual([]);
    await rig.clock.advance(1);
    expect(rig.server.last.of(OperationV2.Token).map(({ value }) => value)).toEqual([{ token: 't2' }]);
    // The new one ends 1,000 s after the connection began.
    await rig.clock.advance(399_999);
    expect(rig.server.last.of(OperationV2.Token)).toHaveLength(1);
    await rig.clock.advance(1);
    expect(rig.server.last.of(OperationV2.Token)).toHaveLength(2);
  });

  test('of a short life are renewed at half of it; who fails is asked again', async () => {
    let calls = 0;
    const rig = makeRig({
      token: () => {
        calls += 1;
        if (calls === 2) throw new Error('away');
        return 't';
      },
    });
    rig.server.onAuth = () => life(60_000);
    await rig.client.connect();
    await rig.clock.advance(30_000);
    expect(rig.errors.map(({ code }) => code)).toEqual(['token_failed']);
    await rig.clock.advance(5_000);
    expect(rig.server.last.of(OperationV2.Token)).toHaveLength(1);
  });
});

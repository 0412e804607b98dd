import { expect, test } from '@jest/globals';

import type { PresenceRequest } from '@halley/protocol/client/bodies';
import type { Write } from '@halley/protocol/client/message';

import { newKey, newMid, newOp } from '../../../harness/unique.js';
import type { Version2Client } from '../../../harness/version2/client.js';
import { TRANSPORTS } from '../stage.js';
import { expectRefused, idOf, PRESENCE, type Version2Stage, WATCH } from './stage.js';

/** Users of one request: so many fit in a body. */
const BATCH = 250;

/** Asks whom to watch; answers who is there, by user. */
async function watch(
  client: Version2Client,
  request: Write<typeof PresenceRequest>,
): Promise<[string, boolean][]> {
  const { users } = await client.ask(WATCH, request, PRESENCE);
  return users.map(({ mid, online }) => [mid, online]);
}

/** The next changes. */
async function changes(client: Version2Client): Promise<[string, boolean][]> {
  const { users } = await client.told(...PRESENCE, 15_000);
  return users.map(({ mid, online }) => [mid, online]);
}

/** ver2.md: presence. */
export function presenceSuite(stage: Version2Stage): void {
  test('how users are is told at once, and what changes a little later', async () => {
    const [here, away, goim] = [newMid(), newMid(), newMid()];
    await stage.open('ws', { mid: here, key: newKey() });
    await stage.openGoim('tcp', { mid: goim, key: newKey() });
    const watchers = await Promise.all(TRANSPORTS.map((transport) => stage.user(transport, newOp())));
    for (const { client } of watchers) {
      expect(await watch(client, { watch: [here, away, goim].map(idOf) })).toEqual([
        [idOf(here), true],
        [idOf(away), false],
        [idOf(goim), true],
      ]);
    }
    const came = await stage.open('tcp', { mid: away, key: newKey() });
    for (const { client } of watchers) expect(await changes(client)).toEqual([[idOf(away), true]]);
    came.close();
    for (const { client } of watchers) expect(await changes(client)).toEqual([[idOf(away), false]]);
  }, 40_000);

  test('with two devices a user is there until the last has gone', async () => {
    const mid = newMid();
    const [one, other] = await Promise.all(
      (['tcp', 'ws'] as const).map((transport) => stage.open(transport, { mid, key: newKey() })),
    );
    const { client } = await stage.user('ws', newOp());
    expect(await watch(client, { watch: [idOf(mid)] })).toEqual([[idOf(mid), true]]);
    one?.close();
    // Somebody else's change, behind which it would have come.
    const { mid: marker, client: marking } = await stage.user('tcp', newOp());
    await watch(client, { watch: [idOf(marker)] });
    marking.close();
    expect(await changes(client)).toEqual([[idOf(marker), false]]);
    other?.close();
    expect(await changes(client)).toEqual([[idOf(mid), false]]);
  }, 40_000);

  test('who is taken out is told of no more; with replace only those named are watched', async () => {
    const users = await Promise.all([0, 1, 2, 3].map(() => stage.user('tcp', newOp())));
    const mids = users.map(({ mid }) => idOf(mid));
    const [a, b, c, d] = mids;
    if (!a || !b || !c || !d) throw new Error('no users');
    const { client } = await stage.user('ws', newOp());
    await watch(client, { watch: [a, b] });
    expect(await watch(client, { unwatch: [a] })).toEqual([]);
    for (const { client: gone } of users.slice(0, 2)) gone.close();
    expect(await changes(client)).toEqual([[b, false]]);
    await watch(client, { watch: [c] });
    expect(await watch(client, { watch: [d], replace: true })).toEqual([[d, true]]);
    for (const { client: gone } of users.slice(2)) gone.close();
    expect(await changes(client)).toEqual([[d, false]]);
  }, 40_000);

  test('max_watched at most', async () => {
    const { client } = await stage.user('tcp', newOp());
    const { maxWatched } = client.auth;
    const first = 10_000;
    for (let from = 0; from < maxWatched; from += BATCH) {
      const length = Math.min(BATCH, maxWatched - from);
      await watch(client, { watch: Array.from({ length }, (_, i) => idOf(BigInt(first + from + i))) });
    }
    const more = idOf(BigInt(first + maxWatched));
    expectRefused(await client.refused(WATCH, { watch: [more] }), 'limit_exceeded');
    expect(await watch(client, { watch: [more], unwatch: [idOf(BigInt(first))] })).toHaveLength(1);
  });
}

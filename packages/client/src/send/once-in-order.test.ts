import { ErrorBody, Outcome, SendReply } from '@halley/protocol/client/bodies';
import { OperationV2 } from '@halley/protocol/operation';
import { expect, test } from '@jest/globals';
import fc from 'fast-check';

import { FakeClock } from '../testing/fake-clock.js';
import { makeRig } from '../testing/harness.js';
import { seeded } from '../testing/simulated-cluster.js';

const TARGETS = ['live://1', 'live://2'];

/** A server that takes a message once by its client id, and whose answers are lost, late, or say that nobody knows. */
async function run(seed: number): Promise<void> {
  const random = seeded(seed);
  const clock = new FakeClock(random);
  const rig = makeRig({ clock, requestTimeoutMs: 5_000 });
  const taken = new Map<string, string[]>(TARGETS.map((room) => [room, []]));
  const ids = new Set<string>();
  let kind = false;
  rig.server.handlers.set(OperationV2.Send, (connection, { seq, value }) => {
    const { clientId, room, body } = value as { clientId: string; room: string; body: Uint8Array };
    const fail = (error: object): void =>
      connection.send(OperationV2.Error, ErrorBody, { code: 'unavailable', ...error }, seq);
    const take = (): void => {
      if (!ids.has(clientId)) taken.get(room)?.push(new TextDecoder().decode(body));
      ids.add(clientId);
    };
    const chance = kind ? 1 : random();
    if (chance < 0.1) return connection.cut();
    if (chance < 0.2) return fail({ temporary: true, outcome: Outcome.Refused, retryAfterMs: 50 });
    if (chance < 0.3) return fail({ temporary: true, outcome: Outcome.Unknown });
    take();
    if (chance < 0.4) return fail({ temporary: true, outcome: Outcome.Unknown });
    if (chance < 0.45) return connection.cut();
    if (chance < 0.47) return;
    connection.send(OperationV2.SendReply, SendReply, { id: clientId }, seq);
  });
  rig.client.connect().catch(() => undefined);
  const given = new Map<string, string[]>(TARGETS.map((room) => [room, []]));
  const sent: Promise<unknown>[] = [];
  for (let number = 0; number < 40; number += 1) {
    const room = TARGETS[Math.floor(random() * TARGETS.length)] as string;
    given.get(room)?.push(`${number}`);
    sent.push(rig.client.send({ room, operation: 1_000, body: `${number}` }));
    const chance = random();
    if (chance < 0.1) rig.server.connections.at(-1)?.cut();
    else if (chance < 0.2) rig.client.useTransport(chance < 0.15 ? 'sse' : 'poll').catch(() => undefined);
    await clock.advance(Math.floor(random() * 200));
  }
  kind = true;
  await clock.advance(300_000);
  await Promise.all(sent);
  expect(taken).toEqual(given);
}

test('whatever becomes of connections and answers, each message is taken once, in the order given for its target', async () => {
  const seed = Number(process.env['SEED'] ?? 20_260_402);
  await fc.assert(fc.asyncProperty(fc.integer(), run), { seed, numRuns: 50 });
}, 60_000);

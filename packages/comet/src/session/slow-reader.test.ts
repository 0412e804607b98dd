import { afterEach, describe, expect, test } from '@jest/globals';
import { CloseCode } from '@halley/protocol/close-code';
import type { ConnectionKey } from '@halley/protocol/ids';

import { CometHarness, until } from '../testing/harness.js';
import type { TcpClient, WsClient } from '../testing/test-client.js';

const BODY_BYTES = 64 * 1024;

let harness: CometHarness;
afterEach(() => harness.stop());

const pause = (client: TcpClient | WsClient): unknown =>
  'ws' in client ? client.ws.pause() : client.socket.pause();
const resume = (client: TcpClient | WsClient): unknown =>
  'ws' in client ? client.ws.resume() : client.socket.resume();

/** Appends numbered entries and tells of them. */
async function push(count: number, bytes = BODY_BYTES, from = 0): Promise<void> {
  const { comet, logic } = harness;
  for (let i = from; i < from + count; i += 1) {
    const body = Buffer.alloc(bytes);
    body.writeUInt32BE(i);
    comet.deliverer.deliver({ epoch: 'e1', topic: 't', partition: 0 }, logic.streams.append('u/1', { body }));
    await new Promise((resolve) => setImmediate(resolve));
    expect(comet.ledger.totalBytes).toBeLessThanOrEqual(1_000_000);
  }
}

const numbers = async (client: TcpClient | WsClient, count: number): Promise<number[]> => {
  const got: number[] = [];
  for (let i = 0; i < count; i += 1) got.push(Buffer.from((await client.next()).body).readUInt32BE());
  return got;
};
const upTo = (count: number): number[] => Array.from({ length: count }, (_, i) => i);

describe.each(['tcp', 'ws'] as const)('a client over %s that does not read', (transport) => {
  const open = (key: string): Promise<TcpClient | WsClient> =>
    harness[transport === 'tcp' ? 'tcpOf' : 'wsOf']({ mid: 1, key, accepts: [5] });

  // What it proves: nothing is lost, in order and once, with bounded memory, and the other device is not delayed.
  test('while 400 messages come gets all 400 when it reads', async () => {
    harness = await CometHarness.start({ outbox: { maxBytes: 200_000, maxTotalBytes: 1_000_000 } });
    const [slow, fast] = [await open('slow'), await open('fast')];
    pause(slow);
    await push(400);
    expect(await numbers(fast, 400)).toEqual(upTo(400));
    expect(harness.comet.reader.catchingUp).toBe(1);
    const readsWhileFull = harness.logic.streams.calls.length;
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(harness.logic.streams.calls.length).toBe(readsWhileFull);
    resume(slow);
    expect(await numbers(slow, 400)).toEqual(upTo(400));
    await until(() => harness.comet.reader.catchingUp === 0);
    await push(2, BODY_BYTES, 400);
    expect(await numbers(slow, 2)).toEqual([400, 401]);
    expect(slow.ended).toBeUndefined();
    expect(await harness.metric('halley_comet_messages_dropped_total')).toBe(0);
  });

  test('gets a message that is larger than its outbox too, alone', async () => {
    harness = await CometHarness.start({ outbox: { maxBytes: 100_000, maxTotalBytes: 1_000_000 } });
    const slow = await open('slow');
    pause(slow);
    await push(100);
    await push(2, 300_000, 100);
    await push(3, 10, 102);
    resume(slow);
    expect(await numbers(slow, 105)).toEqual(upTo(105));
  });

  test('is read for when its outbox is empty where the next message fits into no other', async () => {
    harness = await CometHarness.start({ outbox: { maxBytes: 400_000, maxTotalBytes: 1_000_000 } });
    const slow = await open('slow');
    pause(slow);
    let sent = 0;
    for (; harness.comet.ledger.totalBytes === 0; sent += 1) await push(1, BODY_BYTES, sent);
    await push(1, 500_000, sent);
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(harness.logic.streams.calls).toHaveLength(1);
    resume(slow);
    expect(await numbers(slow, sent + 1)).toEqual(upTo(sent + 1));
    expect(harness.logic.streams.calls).toHaveLength(2);
  });

  test('is closed with a code when nothing has left for too long', async () => {
    harness = await CometHarness.start({
      outbox: { maxBytes: 200_000, maxTotalBytes: 1_000_000 },
      session: { frozenTimeoutMs: 1_000 },
    });
    const [frozen, idle] = [await open('frozen'), await open('idle')];
    pause(frozen);
    await push(400);
    expect(await numbers(idle, 400)).toHaveLength(400);
    await until(() => harness.comet.table.get('frozen' as ConnectionKey) === undefined, 4_000);
    resume(frozen);
    const { code } = await frozen.end();
    if (transport === 'ws') expect(code).toBe(CloseCode.Slow);
    expect(idle.ended).toBeUndefined();
    expect(await harness.metric('halley_comet_frozen_total')).toBe(1);
  });
});

test('a client that reads slowly is not frozen', async () => {
  harness = await CometHarness.start({
    outbox: { maxBytes: 200_000, maxTotalBytes: 1_000_000 },
    session: { frozenTimeoutMs: 1_000 },
  });
  const slow = await harness.tcpOf({ mid: 1, key: 'slow', accepts: [5] });
  pause(slow);
  await push(400);
  const timer = setInterval(() => {
    resume(slow);
    setImmediate(() => pause(slow));
  }, 100);
  await new Promise((resolve) => setTimeout(resolve, 2_500));
  clearInterval(timer);
  resume(slow);
  expect(await numbers(slow, 400)).toEqual(upTo(400));
});

test('readers of a full node take turns, and all get everything', async () => {
  harness = await CometHarness.start({ outbox: { maxBytes: 400_000, maxTotalBytes: 500_000 } });
  const clients = await Promise.all(
    upTo(6).map((i) => harness.tcpOf({ mid: 1, key: `k${i}`, accepts: [5] })),
  );
  for (const client of clients) pause(client);
  await push(200);
  for (const client of clients) resume(client);
  for (const client of clients) expect(await numbers(client, 200)).toEqual(upTo(200));
  expect(await harness.metric('halley_comet_closes_total')).toBe(0);
});

import { describe, expect, test } from '@jest/globals';

import { type Cursor, Deliver, GapReason } from '@halley/protocol/client/bodies';
import { CloseCode } from '@halley/protocol/close-code';
import { OperationV2 } from '@halley/protocol/operation';

import { newKey, newMid, newOp } from '../../../harness/unique.js';
import type { Arrived, Shown, Version2Client } from '../../../harness/version2/client.js';
import { describeOnce, numbered, TRANSPORTS } from '../stage.js';
import { textOf, type Version2Stage } from './stage.js';

/** An entry's place, as a cursor. */
const at = ({ stream, epoch, position }: Shown): Cursor => ({ stream, epoch, position });

/** The same for the body of 7. */
const wish = ({ epoch, position }: Shown) => ({ cursor: { epoch, position } });

/** What comes until nothing more does ahead of acknowledgements: the heartbeat's answer comes behind it. */
async function stuck(client: Version2Client, stream: string, count: number): Promise<Shown[]> {
  const entries = await client.shown(stream, count);
  await client.heartbeat();
  const waiting = client.entriesWaiting(stream);
  return [...entries, ...(await client.shown(stream, waiting))];
}

/**
 * ver2.md: delivering. That each frame goes on where the one before ended, that positions grow and that no window is
 * exceeded is looked at in every test, by the client.
 */
export function deliveringSuite(stage: Version2Stage): void {
  /** Pushed to one user, in order. */
  const push = async (mid: bigint, op: number, bodies: readonly string[]): Promise<void> => {
    for (const body of bodies) await stage.goim.pushMids(op, [mid], body);
  };

  describe.each(TRANSPORTS)('over %s', (transport) => {
    // As many as a window of 64 takes for sure without an acknowledgement: from three quarters on what has to be read waits.
    test('forty pushes come once and in order, with what is said of them', async () => {
      const op = newOp();
      const { client, mid, stream } = await stage.user(transport, op);
      const sent = numbered('push', 40);
      await push(mid, op, sent);
      const entries = await client.shown(stream, 40);
      expect(entries.map(textOf)).toEqual(sent);
      expect(new Set(entries.map(({ id }) => id)).size).toBe(40);
      for (const entry of entries) {
        expect(entry).toMatchObject({ operation: op, fromMid: '0', fromKey: '', clientId: '', toMid: '0' });
        expect(entry.acceptedAtMs).toBeGreaterThan(0);
      }
    });

    test('what is not accepted only moves the cursor', async () => {
      const [op, other] = [newOp(), newOp()];
      const { client, mid, stream } = await stage.user(transport, op);
      await push(mid, op, ['first']);
      await push(mid, other, ['not accepted']);
      await push(mid, op, ['last']);
      expect(await client.texts(stream, 2)).toEqual(['first', 'last']);
    });

    test('every byte arrives, and no byte', async () => {
      const op = newOp();
      const { client, mid, stream } = await stage.user(transport, op);
      const every = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte));
      for (const body of [every, Buffer.alloc(0)]) {
        await stage.goim.pushMids(op, [mid], body);
        const [entry] = await client.shown(stream, 1);
        expect(Buffer.from(entry?.body ?? 'none')).toEqual(body);
      }
    });

    test('acknowledgements are not answered, and those that mean nothing change nothing', async () => {
      const op = newOp();
      const { client, mid, stream } = await stage.user(transport, op);
      await push(mid, op, ['a', 'b', 'c']);
      const [a, b, c] = (await client.shown(stream, 3)) as [Shown, Shown, Shown];
      client.ack(at(a));
      client.ack({ ...at(c), epoch: 'another' });
      client.ack({ ...at(c), position: c.position + 1_000_000 });
      client.ack(
        { stream: `u/${newMid()}`, epoch: c.epoch, position: 5 },
        { stream: '', epoch: '', position: 0 },
      );
      client.ack({ ...at(a), position: -1 });
      client.ack();
      await client.heartbeat();
      // A frame may move the cursor over what is not the user's.
      expect(client.entriesWaiting(stream)).toBe(0);
      expect(client.waiting.filter(({ op: other }) => other !== OperationV2.Deliver)).toEqual([]);
      client.close();
      // Another device begins where this one was, once that is saved: never behind it.
      await stage.eventually(async () => {
        const next = await stage.open(transport, { mid, key: newKey(), accepts: [op] });
        const { position = Infinity } = next.auth.inbox ?? {};
        expect(position).toBeLessThan(b.position);
        return position >= a.position && (await next.texts(stream, 2)).join('') === 'bc';
      });
    });

    test('a device goes on behind its cursor, over the other transport', async () => {
      const [op, key] = [newOp(), newKey()];
      const mid = newMid();
      const client = await stage.open(transport, { mid, key, accepts: [op] });
      const stream = client.auth.inbox?.stream ?? '';
      await push(mid, op, ['a', 'b', 'c']);
      const [, b] = await client.shown(stream, 3);
      client.close();
      await push(mid, op, ['d', 'e']);
      const other = transport === 'tcp' ? 'ws' : 'tcp';
      const back = await stage.open(other, { mid, key, accepts: [op] }, wish(b as Shown));
      expect(back.auth.inbox).toEqual(at(b as Shown));
      await push(mid, op, ['f']);
      expect(await back.texts(stream, 4)).toEqual(['c', 'd', 'e', 'f']);
    });

    test('the cursor that is given counts, not the one that the server has: everything again', async () => {
      const op = newOp();
      const { client, mid, key, stream } = await stage.user(transport, op);
      await push(mid, op, ['a', 'b']);
      const [, b] = (await client.shown(stream, 2)) as [Shown, Shown];
      client.ack(at(b));
      await client.heartbeat();
      const cursor = { epoch: b.epoch, position: -1 };
      const again = await stage.open(transport, { mid, key, accepts: [op] }, { cursor });
      expect(await again.texts(stream, 2)).toEqual(['a', 'b']);
    });

    test('a cursor of another epoch is told by a gap, and all that is kept comes', async () => {
      const op = newOp();
      const { client, mid, key, stream } = await stage.user(transport, op);
      await push(mid, op, ['a', 'b']);
      const [a] = (await client.shown(stream, 2)) as [Shown];
      const cursor = { epoch: `before-${newKey()}`, position: 4 };
      const back = await stage.open(transport, { mid, key, accepts: [op] }, { cursor });
      const first = await back.delivered(stream);
      expect(first).toMatchObject({ epoch: a.epoch, gap: { reason: GapReason.Epoch } });
      const shown = first.entries.map(textOf);
      while (shown.length < 2) shown.push(...(await back.texts(stream, 1)));
      expect(shown).toEqual(['a', 'b']);
    });

    test("each of a user's devices has all of the user's and what is its own, in one order", async () => {
      const op = newOp();
      const { client: one, mid, key, stream } = await stage.user(transport, op);
      const other = await stage.open(transport, { mid, key: newKey(), accepts: [op] });
      await push(mid, op, ['both']);
      await stage.goim.pushKeys(op, [key], 'one');
      await stage.goim.pushKeys(op, [other.auth.key], 'other');
      await push(mid, op, ['both again']);
      const [, own] = await one.shown(stream, 3).then((entries) => {
        expect(entries.map(textOf)).toEqual(['both', 'one', 'both again']);
        return entries;
      });
      const [first, second, last] = (await other.shown(stream, 3)) as [Shown, Shown, Shown];
      expect([first, second, last].map(textOf)).toEqual(['both', 'other', 'both again']);
      expect(own?.position).toBeGreaterThan(first.position);
      expect(own?.position).toBeLessThan(second.position);
      // Its own acknowledgements are no one else's.
      one.ack(at(last));
      await one.heartbeat();
      const resumed = await stage.open(transport, { mid, key: other.auth.key, accepts: [op] }, wish(first));
      expect(await resumed.texts(stream, 2)).toEqual(['other', 'both again']);
    });

    test('a push to everyone comes to who accepts its operation', async () => {
      const [op, other] = [newOp(), newOp()];
      const { client } = await stage.user(transport, op);
      await stage.goim.pushAll(other, 'not accepted');
      await stage.goim.pushAll(op, 'everyone');
      const hasEntries = ({ op: of, body }: Arrived): boolean =>
        of === OperationV2.Deliver && Deliver.decode(body).entries.length > 0;
      const frame = await client.take(hasEntries, 'the push to everyone');
      expect(Deliver.decode(frame.body).entries.map(textOf)).toEqual(['everyone']);
    });

    test('the same key again takes over: 30 with 3503 on the old one', async () => {
      const op = newOp();
      const { client: old, mid, key, stream } = await stage.user(transport, op);
      const now = await stage.open(transport, { mid, key, accepts: [op] });
      const { code, last } = await old.end();
      expect(last).toMatchObject({ code: CloseCode.TakenOver, reconnect: false });
      expect(code).toBe(transport !== 'tcp' ? CloseCode.TakenOver : undefined);
      await push(mid, op, ['now']);
      expect(await now.texts(stream, 1)).toEqual(['now']);
    });
  });

  describeOnce('the window', () => {
    test('of entries: more waits for the acknowledgement, nothing is lost', async () => {
      const op = newOp();
      const { client: slow, mid, stream } = await stage.user('tcp', op);
      const quick = await stage.open('ws', { mid, key: newKey(), accepts: [op] });
      quick.acknowledging = true;
      const { windowEntries } = slow.auth;
      const sent = numbered('push', windowEntries + 60);
      await push(mid, op, sent);
      expect(await quick.texts(stream, sent.length)).toEqual(sent);
      const entries: Shown[] = [];
      while (entries.length < sent.length) {
        const some = await stuck(slow, stream, 1);
        expect(some.length).toBeLessThanOrEqual(windowEntries);
        entries.push(...some);
        slow.ack(at(some.at(-1) as Shown));
      }
      expect(entries.map(textOf)).toEqual(sent);
    }, 60_000);

    test('of bytes: one entry at least, whatever its size', async () => {
      const op = newOp();
      const { client: slow, mid, stream } = await stage.user('ws', op);
      const quick = await stage.open('tcp', { mid, key: newKey(), accepts: [op] });
      quick.acknowledging = true;
      const { windowBytes } = slow.auth;
      const part = Math.ceil(windowBytes / 3);
      const sizes = [part, part, part, Math.min(windowBytes + 1, 1_000_000), part, 10, 10];
      const sent = sizes.map((size, index) => `${index}`.padEnd(size, '.'));
      await push(mid, op, sent);
      await quick.shown(stream, sent.length);
      const shown: string[] = [];
      while (shown.length < sent.length) {
        const some = await stuck(slow, stream, 1);
        shown.push(...some.map(textOf));
        slow.ack(at(some.at(-1) as Shown));
      }
      expect(shown.map((body) => [body[0], body.length])).toEqual(sent.map((body) => [body[0], body.length]));
    }, 60_000);

    test('while more is there than it lets through, a device that comes back is told so', async () => {
      const op = newOp();
      const { client, mid, key, stream } = await stage.user('tcp', op);
      client.acknowledging = true;
      const { windowEntries, inbox } = client.auth;
      const sent = numbered('push', windowEntries + 10);
      await push(mid, op, sent);
      await client.shown(stream, sent.length);
      const cursor = { epoch: inbox?.epoch ?? '', position: inbox?.position ?? 0 };
      const back = await stage.open('tcp', { mid, key, accepts: [op] }, { cursor });
      const frames: { more: boolean; count: number }[] = [];
      for (let count = 0; count < sent.length;) {
        const { more, entries, epoch, through: position } = await back.delivered(stream);
        count += entries.length;
        frames.push({ more, count });
        back.ack({ stream, epoch, position });
      }
      for (const { more, count } of frames)
        if (count < sent.length) expect({ more, count }).toEqual({ more: true, count });
      expect(frames.length).toBeGreaterThan(1);
    }, 60_000);
  });

  test('a device of version 1 and one of version 2 get the same', async () => {
    const op = newOp();
    const { client, mid, stream } = await stage.user('tcp', op);
    const goim = await stage.openGoim('ws', { mid, key: newKey(), accepts: [op] });
    const sent = numbered('push', 20);
    await push(mid, op, sent);
    expect(await client.texts(stream, 20)).toEqual(sent);
    expect((await goim.take(20)).map(textOf)).toEqual(sent);
    expect(await goim.heartbeat()).toBe(0);
    expect(client.entriesWaiting(stream)).toBe(0);
  });
}

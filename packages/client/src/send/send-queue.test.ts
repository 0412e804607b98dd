import { ErrorBody, Outcome, SendReply } from '@halley/protocol/client/bodies';
import { OperationV2 } from '@halley/protocol/operation';
import { describe, expect, test } from '@jest/globals';

import type { Sent } from '../events.js';
import { memoryStore } from '../stores/memory.js';
import { settled } from '../testing/fake-clock.js';
import type { FakeConnection, Received } from '../testing/fake-server.js';
import { connectedRig, makeRig, type Rig } from '../testing/harness.js';

const to8 = (body: string): { toMid: number; operation: number; body: string } => ({
  toMid: 8,
  operation: 1_000,
  body,
});

/** What was sent, in order: bodies by connection. */
function bodies({ server }: Rig): readonly string[] {
  return server.connections.flatMap((connection) => connection.of(OperationV2.Send)).map(bodyOf);
}

function bodyOf({ value }: Received): string {
  return new TextDecoder().decode(value['body'] as Uint8Array);
}

function fail(connection: FakeConnection, { seq }: Received, error: object): void {
  connection.send(OperationV2.Error, ErrorBody, { code: 'unavailable', ...error }, seq);
}

function take(connection: FakeConnection, { seq }: Received): void {
  connection.send(OperationV2.SendReply, SendReply, { id: 'id', position: 5 }, seq);
}

describe('send', () => {
  test('resolves with what the server answered', async () => {
    const rig = await connectedRig();
    const sent: Sent[] = [];
    rig.client.on('sent', (one) => void sent.push(one));
    const reply = await rig.client.send({ ...to8('hello'), clientId: 'c1' });
    expect(reply).toMatchObject({ id: 'id-c1' });
    expect(sent).toEqual([{ clientId: 'c1', reply }]);
    expect(rig.server.last.of(OperationV2.Send)[0]?.value).toMatchObject({
      clientId: 'c1',
      toMid: '8',
      room: '',
    });
  });

  test('rejects with what the server refused for good, and goes on with the next', async () => {
    const rig = await connectedRig();
    rig.server.handlers.set(OperationV2.Send, (connection, received) => {
      if (bodyOf(received) === 'a') fail(connection, received, { code: 'send_not_granted', outcome: 1 });
      else take(connection, received);
    });
    const first = rig.client.send(to8('a'));
    const second = rig.client.send(to8('b'));
    await expect(first).rejects.toMatchObject({
      code: 'send_not_granted',
      outcome: 'refused',
      temporary: false,
    });
    await expect(second).resolves.toMatchObject({ position: 5 });
  });

  test('has one message to each target on the wire, others beside it', async () => {
    const rig = await connectedRig();
    rig.server.handlers.delete(OperationV2.Send);
    for (const body of ['a', 'b']) rig.client.send(to8(body)).catch(() => undefined);
    rig.client.send({ room: 'x://1', operation: 1_000, body: 'room' }).catch(() => undefined);
    rig.client.send({ operation: 1_000, body: 'business' }).catch(() => undefined);
    await settled();
    expect(bodies(rig)).toEqual(['a', 'room', 'business']);
    take(rig.server.last, rig.server.last.of(OperationV2.Send)[0] as Received);
    await settled();
    expect(bodies(rig)).toEqual(['a', 'room', 'business', 'b']);
  });

  test.each([
    ['refused for now', { temporary: true, outcome: Outcome.Refused, retryAfterMs: 4_000 }, 4_500],
    ['unknown', { temporary: false, outcome: Outcome.Unknown }, 500],
    ['temporary of a later version', { temporary: true, outcome: 9 }, 500],
  ])('what is %s is repeated with the same id, ahead of the next', async (_, error, waitMs) => {
    const rig = await connectedRig();
    rig.server.handlers.set(OperationV2.Send, (connection, received) => fail(connection, received, error));
    const first = rig.client.send(to8('a'));
    const second = rig.client.send(to8('b'));
    await rig.clock.advance(waitMs - 1);
    expect(bodies(rig)).toEqual(['a']);
    rig.server.handlers.set(OperationV2.Send, take);
    await rig.clock.advance(1);
    await Promise.all([first, second]);
    expect(bodies(rig)).toEqual(['a', 'a', 'b']);
    const ids = rig.server.last.of(OperationV2.Send).map(({ value }) => value['clientId']);
    expect(ids[0]).toBe(ids[1]);
    expect(ids[0]).not.toBe(ids[2]);
  });

  test('what was unanswered when the connection ended is repeated first on the next', async () => {
    const rig = await connectedRig();
    rig.server.handlers.delete(OperationV2.Send);
    const all = [rig.client.send(to8('a')), rig.client.send(to8('b'))];
    await settled();
    rig.server.last.cut();
    rig.server.handlers.set(OperationV2.Send, take);
    await rig.clock.advance(1_000);
    await Promise.all(all);
    expect(bodies(rig)).toEqual(['a', 'a', 'b']);
  });

  test('a server that does not answer is left', async () => {
    const rig = await connectedRig();
    rig.server.handlers.delete(OperationV2.Send);
    const sent = rig.client.send(to8('a'));
    await rig.clock.advance(29_999);
    expect(rig.server.connections).toHaveLength(1);
    rig.server.handlers.set(OperationV2.Send, take);
    await rig.clock.advance(1_000);
    await sent;
    expect(rig.server.connections).toHaveLength(2);
  });

  test('waits for a connection, and sends in the order given', async () => {
    const rig = makeRig();
    const all = ['a', 'b', 'c'].map((body) => rig.client.send(to8(body)));
    await rig.client.connect();
    await Promise.all(all);
    expect(bodies(rig)).toEqual(['a', 'b', 'c']);
  });

  test('gives up after the time given: nothing happened, or it is not known', async () => {
    const rig = makeRig();
    const unsent = rig.client.send(to8('a'), { timeoutMs: 1_000 }).catch((error: unknown) => error);
    await rig.clock.advance(1_000);
    expect(await unsent).toMatchObject({ code: 'timed_out', outcome: 'refused' });
    await rig.client.connect();
    rig.server.handlers.delete(OperationV2.Send);
    const unanswered = rig.client.send(to8('b'), { timeoutMs: 1_000 }).catch((error: unknown) => error);
    await rig.clock.advance(1_000);
    expect(await unanswered).toMatchObject({ code: 'timed_out', outcome: 'unknown' });
  });

  test('a message that may have been sent a day ago is not repeated', async () => {
    const rig = await connectedRig();
    rig.server.handlers.delete(OperationV2.Send);
    const sent = rig.client.send(to8('a'));
    rig.server.down.add('ws://a:1');
    rig.server.last.cut();
    sent.catch(() => undefined);
    await rig.clock.advance(23 * 3_600_000 + 1_000);
    rig.server.down.clear();
    await rig.clock.advance(60_000);
    await expect(sent).rejects.toMatchObject({ code: 'timed_out', outcome: 'unknown' });
    expect(bodies(rig)).toEqual(['a']);
  });

  test('a full queue refuses', async () => {
    const rig = makeRig({ maxQueuedMessages: 2, maxQueuedBytes: 1_000 });
    const waiting = [rig.client.send(to8('a')), rig.client.send(to8('b'))];
    const full = { code: 'queue_full', temporary: true, outcome: 'refused' };
    await expect(rig.client.send(to8('c'))).rejects.toMatchObject(full);
    await rig.client.connect();
    await Promise.all(waiting);
    await expect(rig.client.send(to8('x'.repeat(1_000)))).rejects.toMatchObject(full);
    await rig.client.send(to8('d'));
  });

  test('what the server would close the connection for is refused here', async () => {
    const rig = await connectedRig();
    await expect(rig.client.send(to8('x'.repeat(4_096)))).rejects.toMatchObject({
      code: 'frame_too_large',
      outcome: 'refused',
    });
    expect(bodies(rig)).toEqual([]);
    await expect(rig.client.send({ toMid: 'me', operation: 1, body: '' })).rejects.toThrow(SyntaxError);
  });

  test('close rejects what waits: refused, or unknown where it was on the wire', async () => {
    const rig = await connectedRig();
    rig.server.handlers.delete(OperationV2.Send);
    const all = [rig.client.send(to8('a')), rig.client.send(to8('b'))];
    await settled();
    rig.client.close();
    const outcomes = (await Promise.allSettled(all)).map(
      (result) => (result as PromiseRejectedResult).reason,
    );
    expect(outcomes).toMatchObject([
      { code: 'closed', outcome: 'unknown' },
      { code: 'closed', outcome: 'refused' },
    ]);
  });
});

describe('a queue that is kept', () => {
  test('goes on with the next start, under the same ids, in order', async () => {
    const store = memoryStore();
    const first = makeRig({ store, keepQueue: true });
    for (const body of ['a', 'b']) first.client.send({ ...to8(body), clientId: body }).catch(() => undefined);
    await settled();
    first.client.close();
    const second = makeRig({ store, keepQueue: true });
    const sent: string[] = [];
    second.client.on('sent', ({ clientId }) => void sent.push(clientId));
    await second.client.connect();
    await second.client.send({ ...to8('c'), clientId: 'c' });
    expect(bodies(second)).toEqual(['a', 'b', 'c']);
    expect(sent).toEqual(['a', 'b', 'c']);
    await settled();
    expect([...(await store.load()).keys()].filter((key) => key.startsWith('send:'))).toEqual([]);
  });

  test('keeps what was given ahead of connecting behind what was left, and loses neither', async () => {
    const store = memoryStore();
    const first = makeRig({ store, keepQueue: true });
    first.client.send(to8('a')).catch(() => undefined);
    await first.client.connect().catch(() => undefined);
    first.server.handlers.delete(OperationV2.Send);
    first.client.send(to8('b')).catch(() => undefined);
    await settled();
    first.client.close();
    await first.clock.advance(1_000);
    const second = makeRig({ store, keepQueue: true, clock: first.clock });
    const sent = second.client.send(to8('c'));
    await second.client.connect();
    await sent;
    expect(bodies(second)).toEqual(['b', 'c']);
  });

  test('has a message in the store before it is on the wire', async () => {
    let saved: () => void = () => undefined;
    const rig = await connectedRig({
      keepQueue: true,
      store: {
        load: () => new Map(),
        set: (key) =>
          key.startsWith('send:') ? new Promise<void>((resolve) => (saved = resolve)) : undefined,
      },
    });
    const sent = rig.client.send(to8('a'));
    await settled();
    expect(bodies(rig)).toEqual([]);
    saved();
    await sent;
    expect(bodies(rig)).toEqual(['a']);
  });
});

import { ErrorBody, HistoryReply, type HistoryRequest } from '@halley/protocol/client/bodies';
import { OperationV2 } from '@halley/protocol/operation';
import { expect, test } from '@jest/globals';

import type { StreamMessage } from '../streams/message.js';
import { settled } from '../testing/fake-clock.js';
import { connectedRig, entryAt, makeRig, type Rig } from '../testing/harness.js';

/** Serves positions 0 to 9 of one epoch. */
function serve({ server }: Rig, epoch = 'e1'): HistoryRequest[] {
  const asked: HistoryRequest[] = [];
  server.handlers.set(OperationV2.History, (connection, { seq, value }) => {
    const request = value as unknown as HistoryRequest;
    asked.push(request);
    const { after = -1, before = 10, limit, order } = request;
    const all = Array.from({ length: 10 }, (_, at) => at).filter((at) => at > after && at < before);
    if (order === 1) all.reverse();
    const entries = all.slice(0, limit).map(entryAt);
    connection.send(
      OperationV2.HistoryReply,
      HistoryReply,
      { epoch, entries, more: all.length > limit },
      seq,
    );
  });
  return asked;
}

async function positions(messages: AsyncIterable<StreamMessage>): Promise<number[]> {
  const all: number[] = [];
  for await (const { position } of messages) all.push(position);
  return all;
}

test('comes page by page, the newest first', async () => {
  const rig = await connectedRig();
  const asked = serve(rig);
  expect(await positions(rig.client.history({ room: 'a' }, { pageSize: 4 }))).toEqual([
    9, 8, 7, 6, 5, 4, 3, 2, 1, 0,
  ]);
  expect(asked).toMatchObject([
    { stream: 'r/a', order: 1, limit: 4, before: undefined, epoch: '' },
    { before: 6, epoch: 'e1' },
    { before: 2, epoch: 'e1' },
  ]);
});

test('comes oldest first between positions, of the inbox', async () => {
  const rig = await connectedRig();
  const asked = serve(rig);
  const query = { order: 'oldest first', after: 2, before: 7, epoch: 'e1', pageSize: 3, fromMs: 5 } as const;
  expect(await positions(rig.client.history('inbox', query))).toEqual([3, 4, 5, 6]);
  expect(asked).toMatchObject([
    { stream: 'u/7', order: 2, after: 2, before: 7, epoch: 'e1', fromMs: 5 },
    { after: 5, before: 7 },
  ]);
});

test('is asked for only as far as it is taken', async () => {
  const rig = await connectedRig();
  const asked = serve(rig);
  for await (const { position } of rig.client.history({ room: 'a' }, { pageSize: 2 }))
    if (position === 8) break;
  expect(asked).toHaveLength(1);
});

test('of another epoch is no history of the one asked for', async () => {
  const rig = await connectedRig();
  serve(rig, 'e2');
  const messages = rig.client.history({ room: 'a' }, { after: 1, epoch: 'e1' });
  await expect(positions(messages)).rejects.toMatchObject({ code: 'epoch_changed' });
});

test('a request waits for the connection, and is repeated on the next', async () => {
  const rig = makeRig();
  const all = positions(rig.client.history({ room: 'a' }));
  await rig.client.connect();
  await settled();
  rig.server.last.cut();
  serve(rig);
  await rig.clock.advance(1_000);
  expect(await all).toHaveLength(10);
});

test('what is temporary is repeated until the time is over, what is not is told', async () => {
  const rig = await connectedRig();
  let asked = 0;
  rig.server.handlers.set(OperationV2.History, (connection, { seq }) => {
    asked += 1;
    connection.send(OperationV2.Error, ErrorBody, { code: 'store_unavailable', temporary: true }, seq);
  });
  const failed = positions(rig.client.history({ room: 'a' })).catch((error: unknown) => error);
  await rig.clock.advance(30_000);
  expect(await failed).toMatchObject({ code: 'store_unavailable', temporary: true });
  expect(asked).toBe(30);
  rig.server.handlers.set(OperationV2.History, (connection, { seq }) =>
    connection.send(OperationV2.Error, ErrorBody, { code: 'room_not_granted' }, seq),
  );
  await expect(positions(rig.client.history({ room: 'a' }))).rejects.toMatchObject({
    code: 'room_not_granted',
  });
});

test('the inbox of nobody yet has none', () => {
  expect(() => makeRig().client.history('inbox')).toThrow(expect.objectContaining({ code: 'no_inbox' }));
});

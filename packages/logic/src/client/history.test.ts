import { HistoryRequest } from '@halley/protocol/client/bodies';
import type { Write } from '@halley/protocol/client/message';
import type { ConnectionKey, NodeId, UserId } from '@halley/protocol/ids';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';

import { HistoryReader } from '../streams/history.js';
import { EPOCH, type FilledStores, filledStores, SHARDS } from '../testing/filled-stores.js';
import { ClientHistory } from './history.js';

const ada = {
  at: { node: 'c' as NodeId, incarnation: '1' },
  mid: '1' as UserId,
  key: 'web' as ConnectionKey,
  deadlineMs: 0,
  traceparent: '',
};
const phone = ['phone' as ConnectionKey];
const sender = { mid: '1' as UserId, key: 'web' as ConnectionKey, clientId: 'c1', toMid: '2' as UserId };
let stores: FilledStores;
let history: ClientHistory;

beforeEach(async () => {
  stores = await filledStores();
  const epoch = () => EPOCH;
  history = new ClientHistory({ history: new HistoryReader({ ...stores, shards: SHARDS, epoch }), epoch });
});
afterEach(() => stores.stop());

const read = (fields: Write<typeof HistoryRequest>, from = ada) =>
  history.read(HistoryRequest.decode(HistoryRequest.encode({ stream: 'u/1', ...fields })), from);
const positions = async (fields: Write<typeof HistoryRequest>) => {
  const { entries, more } = await read(fields);
  return [...entries.map(({ position }) => position), ...(more ? ['more'] : [])];
};

describe('a page', () => {
  test('is of the own inbox or a room, either way, between positions and times', async () => {
    await stores.append('u/1', [0, 10, 20, 30], 30);
    await stores.append('r/chat://1', [5], 5);
    expect(await positions({})).toEqual([30, 20, 10, 0]);
    expect(await positions({ limit: 2, before: 30 })).toEqual([20, 10, 'more']);
    expect(await positions({ order: 2, after: -1, limit: 3 })).toEqual([0, 10, 20, 'more']);
    expect(await positions({ order: 2, after: 10, epoch: EPOCH })).toEqual([20, 30]);
    expect(await positions({ fromMs: 1_010, toMs: 1_030 })).toEqual([20, 10]);
    expect(await positions({ stream: 'r/chat://1' })).toEqual([5]);
  });

  test('has everything of an entry, who sent it and to whom, in both inboxes', async () => {
    await stores.append('u/1', [3], 3, { sender, expireAtMs: 4_102_444_800_000, body: Buffer.from('hi') });
    await stores.append('u/2', [3], 3, { sender });
    await stores.append('u/1', [4], 4);
    const { epoch, entries } = await read({ order: 2 });
    expect(epoch).toBe(EPOCH);
    expect(entries[0]).toEqual({
      position: 3,
      id: 'id-3',
      operation: 1_000,
      body: Buffer.from('hi'),
      acceptedAtMs: 1_003,
      expireAtMs: 4_102_444_800_000,
      traceparent: '',
      fromMid: '1',
      fromKey: 'web',
      clientId: 'c1',
      toMid: '2',
    });
    expect(entries[1]).toMatchObject({ fromMid: '0', fromKey: '', clientId: '', toMid: '0' });
    const theirs = await read({ stream: 'u/2' }, { ...ada, mid: '2' as UserId });
    expect(theirs.entries).toMatchObject([{ fromMid: '1', clientId: 'c1', toMid: '2' }]);
  });

  test('leaves out what is for other devices, and goes on until it has something to tell', async () => {
    await stores.append('u/1', [0], 0);
    await stores.append('u/1', [1, 2, 3, 4], 4, { keys: phone });
    await stores.append('u/1', [5], 5, { keys: [...phone, ada.key] });
    expect(await positions({ limit: 2 })).toEqual([5, 'more']);
    expect(await positions({ limit: 2, before: 5 })).toEqual([0]);
    expect(await positions({ limit: 1, order: 2, after: 0 })).toEqual([5]);
    expect(await positions({ order: 2, after: 0, before: 5 })).toEqual([]);
  });

  test('of positions of another epoch is empty, and tells the epoch', async () => {
    await stores.append('u/1', [0], 0);
    expect(await read({ epoch: 'older', after: 3 })).toEqual({ epoch: EPOCH, entries: [], more: false });
  });

  test('ends where its bodies are much', async () => {
    await stores.append('u/1', [0, 1, 2], 2, { body: Buffer.alloc(300_000) });
    expect(await positions({})).toEqual([2, 'more']);
    await stores.append('u/1', [3], 3, { body: Buffer.alloc(900_000) });
    expect(await positions({})).toEqual([3, 'more']);
  });

  test.each<[string, Write<typeof HistoryRequest>]>([
    ['stream: is neither the own inbox', { stream: 'u/2' }],
    ['stream: is neither the own inbox', { stream: '' }],
    ['stream: is neither the own inbox', { stream: 'r/' }],
    ['stream: is neither the own inbox', { stream: 'all' }],
    ['stream: 5002 characters', { stream: `r/${'x'.repeat(5_000)}` }],
    ['order: 9 is no order', { order: 9 }],
    ['limit: 1001', { limit: 1_001 }],
    ['before: must be above after', { after: 3, before: 3 }],
  ])('is refused: %s', async (message, fields) => {
    await expect(read(fields)).rejects.toMatchObject({
      code: 'invalid_argument',
      message: expect.stringContaining(message),
    });
  });

  test('anonymous connections have no inbox', async () => {
    await expect(read({ stream: 'u/0' }, { ...ada, mid: '0' as UserId })).rejects.toMatchObject({
      code: 'invalid_argument',
    });
  });
});

import { describe, expect, test } from '@jest/globals';

import type { Query } from '../../harness/http.js';
import { newKey, newMid, newOp, newRoom } from '../../harness/unique.js';
import { expectOk, expectPush, expectRefusal, type Stage } from './stage.js';

const MAX_BODY_BYTES = 1024 * 1024;
const PUSH_PATHS = ['/goim/push/keys', '/goim/push/mids', '/goim/push/room', '/goim/push/all'] as const;

/** Queries that do not bind: status 400, code -400, and the fields that the message names. */
const UNBOUND: readonly (readonly [string, Query, readonly string[]])[] = [
  ['/goim/push/mids', { operation: 1000, mids: '1,2' }, ['mids']],
  ['/goim/push/mids', { operation: 1000, mids: 'x' }, ['mids']],
  ['/goim/push/mids', { operation: 1000, mids: ['1', 'x'] }, ['mids']],
  ['/goim/push/mids', { operation: 1000, mids: '1.5' }, ['mids']],
  ['/goim/push/mids', { operation: 1000, mids: '9223372036854775808' }, ['mids']],
  ['/goim/push/mids', { operation: 'x', mids: '1' }, ['operation']],
  ['/goim/push/mids', { operation: '2147483648', mids: '1' }, ['operation']],
  ['/goim/push/keys', { operation: 'x', keys: 'k' }, ['operation']],
  ['/goim/push/keys', { operation: '1.5', keys: 'k' }, ['operation']],
  ['/goim/push/room', { type: 't', room: 'r' }, ['operation']],
  ['/goim/push/room', { operation: 0, type: 't', room: 'r' }, ['operation']],
  ['/goim/push/room', { operation: 1000, room: 'r' }, ['type']],
  ['/goim/push/room', { operation: 1000, type: 't' }, ['room']],
  ['/goim/push/room', { operation: 1000, type: '', room: 'r' }, ['type']],
  ['/goim/push/room', {}, ['operation', 'type', 'room']],
  ['/goim/push/room', { operation: 'x', type: 't', room: 'r' }, ['operation']],
  ['/goim/push/all', {}, ['operation']],
  ['/goim/push/all', { operation: 0 }, ['operation']],
  ['/goim/push/all', { operation: 1000, speed: 'x' }, ['speed']],
];

/** GOIM §3: the push calls of logic's HTTP. */
export function httpPushSuite(stage: Stage): void {
  test.each([
    ['/goim/push/keys', { operation: 1000, keys: 'nobody' }],
    ['/goim/push/keys', { operation: 1000, keys: ['nobody', 'a,b', ''] }],
    ['/goim/push/mids', { operation: 1000, mids: '1234567' }],
    ['/goim/push/mids', { operation: 1000, mids: ['-1', '9223372036854775807'] }],
    ['/goim/push/room', { operation: 1000, type: 'nobody', room: 'nobody' }],
    ['/goim/push/all', { operation: 2_000_000_001 }],
  ])('%s %j, which nobody hears, is answered as any other', async (path, query) => {
    expectOk(await stage.http.post(path, query, 'hello'));
    expectOk(await stage.http.post(path, query, ''));
  });

  test.each(UNBOUND)('%s %j does not bind', async (path, query, fields) => {
    expectRefusal(await stage.http.post(path, query, 'hello'), 400, -400, fields);
  });

  test('no keys at all is status 200 with -400', async () => {
    expectRefusal(await stage.http.post('/goim/push/keys', { operation: 1000 }, 'hello'), 200, -400);
    expectRefusal(await stage.http.post('/goim/push/keys', {}, 'hello'), 200, -400);
  });

  test('a query that does not bind pushes nothing to the targets that do', async () => {
    const [mid, op] = [newMid(), newOp()];
    const client = await stage.open('tcp', { mid, accepts: [op] });
    await stage.http.post('/goim/push/mids', { operation: op, mids: [String(mid), 'x'] }, 'no');
    await stage.pushMids(op, [mid], 'yes');
    await expectPush(client, op, 'yes');
  });

  test('names of a query that are not known are ignored', async () => {
    expectOk(
      await stage.http.post('/goim/push/keys', { operation: 1000, keys: newKey(), other: 'x' }, 'hello'),
    );
  });

  test('a form in the body binds nothing', async () => {
    const form = 'operation=1000&type=t&room=r';
    const headers = { 'content-type': 'application/x-www-form-urlencoded' };
    expectRefusal(await stage.http.post('/goim/push/room', {}, form, headers), 400, -400, ['operation']);
  });

  test('a body without a length, in chunks, is taken', async () => {
    const [mid, op] = [newMid(), newOp()];
    const client = await stage.open('tcp', { mid, accepts: [op] });
    const headers = { 'transfer-encoding': 'chunked' };
    expectOk(await stage.http.post('/goim/push/mids', { operation: op, mids: mid }, 'in chunks', headers));
    await expectPush(client, op, 'in chunks');
  });

  test('a body of 1 MiB is taken, a byte more is status 413 with -400', async () => {
    const room = newRoom();
    const query = { operation: 1000, type: room.type, room: room.room };
    expectOk(await stage.http.post('/goim/push/room', query, Buffer.alloc(MAX_BODY_BYTES)));
    for (const path of PUSH_PATHS) {
      const answer = await stage.http.post(
        path,
        { ...query, keys: 'k', mids: 1 },
        Buffer.alloc(MAX_BODY_BYTES + 1),
      );
      expectRefusal(answer, 413, -400);
    }
    expectOk(await stage.http.post('/goim/push/room', query, 'after it'));
  });

  describe('paths and methods', () => {
    test.each(['/', '/goim', '/goim/push', '/goim/push/everyone', '/favicon.ico', '/%'])(
      'POST and GET %s is 404',
      async (path) => {
        expect((await stage.http.get(path)).status).toBe(404);
        expect((await stage.http.post(path, {}, 'x')).status).toBe(404);
      },
    );

    test.each(PUSH_PATHS)('GET %s is 404 or 405', async (path) => {
      expect([404, 405]).toContain((await stage.http.get(path, { operation: 1000 })).status);
    });

    test.each([
      '/goim/online/top',
      '/goim/online/room',
      '/goim/online/total',
      '/goim/nodes/weighted',
      '/goim/nodes/instances',
    ])('POST %s is 404 or 405', async (path) => {
      expect([404, 405]).toContain((await stage.http.post(path, { type: 't', limit: 1 })).status);
    });
  });
}

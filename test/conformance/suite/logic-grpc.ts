import { isDeepStrictEqual } from 'node:util';

import { status } from '@grpc/grpc-js';
import { describe, expect, test } from '@jest/globals';

import { unary } from '../../harness/grpc.js';
import { newKey, newMid, newRoom } from '../../harness/unique.js';
import { eventually } from '../../harness/within.js';
import type { Stage } from './stage.js';

/** A server that is no node: what is connected there is reached by nobody. */
const SERVER = 'conformance-server';
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

/** GOIM §2: goim.logic.Logic, as goim's comet and business services call it. */
export function logicGrpcSuite(stage: Stage): void {
  const connect = (token: string) =>
    unary(stage.logic.Connect.bind(stage.logic), { server: SERVER, cookie: '', token: Buffer.from(token) });
  const disconnect = (mid: string, key: string) =>
    unary(stage.logic.Disconnect.bind(stage.logic), { server: SERVER, mid, key });

  describe('Connect, Heartbeat and Disconnect', () => {
    test('tell what the token says, exactly, and the heartbeat timeout in nanoseconds', async () => {
      const [mid, key, room] = [newMid() + 1n, newKey(), newRoom()];
      const token = `{"mid":${mid},"key":"${key}","room_id":"${room.id}","platform":"web","accepts":[1000,-1]}`;
      const reply = await connect(token);
      expect(reply).toEqual({
        mid: String(mid),
        key,
        roomID: room.id,
        accepts: [1000, -1],
        heartbeat: expect.stringMatching(/^[1-9]\d*000000$/),
      });
      expect(
        await unary(stage.logic.Heartbeat.bind(stage.logic), { server: SERVER, mid: String(mid), key }),
      ).toEqual({});
      expect(await disconnect(String(mid), key)).toEqual({ has: true });
      expect(await disconnect(String(mid), key)).toEqual({ has: false });
    });

    test('an empty token gets a fresh key', async () => {
      const [first, second] = [await connect('{}'), await connect('null')];
      expect(first).toMatchObject({ mid: '0', key: expect.stringMatching(UUID), roomID: '', accepts: [] });
      expect(second).toMatchObject({ mid: '0', key: expect.stringMatching(UUID), roomID: '', accepts: [] });
      expect(first.key).not.toBe(second.key);
    });

    test.each(['', 'no JSON', '[]', '{"mid":"1"}'])('%j is refused', async (token) => {
      await expect(connect(token)).rejects.toMatchObject({ code: status.UNAUTHENTICATED });
    });

    test('the heartbeat of a connection that logic does not know is taken', async () => {
      const request = { server: SERVER, mid: String(newMid()), key: newKey() };
      expect(await unary(stage.logic.Heartbeat.bind(stage.logic), request)).toEqual({});
    });

    test("another server's disconnect does not touch a connection", async () => {
      const [mid, key] = [newMid(), newKey()];
      await connect(`{"mid":${mid},"key":"${key}"}`);
      const other = { server: 'another-server', mid: String(mid), key };
      expect(await unary(stage.logic.Disconnect.bind(stage.logic), other)).toEqual({ has: false });
      expect(await disconnect(String(mid), key)).toEqual({ has: true });
    });
  });

  test('Receive takes a message for the business', async () => {
    const request = {
      mid: String(newMid()),
      proto: { ver: 1, op: 1000, seq: 1, body: Buffer.from('hello') },
    };
    expect(await unary(stage.logic.Receive.bind(stage.logic), request)).toEqual({});
  });

  test("RenewOnline answers the cluster's rooms", async () => {
    const room = newRoom();
    await Promise.all([stage.open('tcp', { room_id: room.id }), stage.open('ws', { room_id: room.id })]);
    const renew = async (): Promise<number | undefined> => {
      const reply = await unary(stage.logic.RenewOnline.bind(stage.logic), { server: SERVER, roomCount: {} });
      return reply.allRoomCount[room.id];
    };
    expect(await eventually(renew, (count) => count === 2)).toBe(2);
  }, 30_000);

  test.each(['', 'web', 'ios'])('Nodes for the platform %j is what HTTP tells', async (platform) => {
    const ask = async () => {
      const { text } = await stage.http.get('/goim/nodes/weighted', { platform });
      const { data } = JSON.parse(text) as { data: NodesReply };
      const request = { platform, clientIP: '127.0.0.1' };
      const overGrpc = async () => {
        const reply = await unary(stage.logic.Nodes.bind(stage.logic), request);
        return { ...reply, backoff: rounded(reply.backoff) };
      };
      return { overHttp: data, overGrpc: [await overGrpc(), await overGrpc()] };
    };
    // Nodes that are equally good change places from call to call: of two calls one has the order of the first.
    const same = await eventually(
      ask,
      ({ overHttp, overGrpc }) => overGrpc.some((reply) => isDeepStrictEqual(overHttp, reply)),
      5_000,
      10,
    );
    expect(same.overGrpc).toContainEqual(same.overHttp);
  });
}

interface NodesReply {
  readonly backoff: Record<string, number>;
}

/** Floats of the wire are doubles here: 1.8 comes as 1.7999999523162842. */
function rounded(floats: object | null | undefined): Record<string, number> {
  return Object.fromEntries(
    Object.entries(floats ?? {}).map(([name, value]) => [name, Number(Number(value).toFixed(5))]),
  );
}

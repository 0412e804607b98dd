import { describe, expect, test } from '@jest/globals';

import type { Query } from '../../harness/http.js';
import { newOp, newRoom } from '../../harness/unique.js';
import { eventually } from '../../harness/within.js';
import { expectRefusal, type Stage } from './stage.js';

const UNBOUND: readonly (readonly [string, Query, readonly string[]])[] = [
  ['/goim/online/top', {}, ['type', 'limit']],
  ['/goim/online/top', { type: 't' }, ['limit']],
  ['/goim/online/top', { limit: 1 }, ['type']],
  ['/goim/online/top', { type: 't', limit: 0 }, ['limit']],
  ['/goim/online/top', { type: 't', limit: -1 }, ['limit']],
  ['/goim/online/top', { type: 't', limit: 'x' }, ['limit']],
  ['/goim/online/top', { type: '', limit: 1 }, ['type']],
  ['/goim/online/room', {}, ['type', 'rooms']],
  ['/goim/online/room', { type: 't' }, ['rooms']],
  ['/goim/online/room', { rooms: 'r' }, ['type']],
];

/** The figures of the cluster are told by each comet every 10 s, and read by logic as often. */
const FIGURES_MS = 15_000;

/** GOIM §3 and §4: what logic's HTTP tells. */
export function httpQuerySuite(stage: Stage): void {
  async function data(path: string, query: Query = {}): Promise<string> {
    const answer = await stage.http.get(path, query);
    expect(answer).toMatchObject({ status: 200, contentType: expect.stringMatching(/^application\/json/) });
    const prefix = '{"code":0,"message":"","data":';
    expect(answer.text.slice(0, prefix.length)).toBe(prefix);
    expect(answer.text.at(-1)).toBe('}');
    return answer.text.slice(prefix.length, -1);
  }

  test.each(UNBOUND)('%s %j does not bind', async (path, query, fields) => {
    expectRefusal(await stage.http.get(path, query), 400, -400, fields);
  });

  test('rooms are counted over the cluster, and emptied ones disappear', async () => {
    const type = newRoom().type;
    const [large, small, other] = [newRoom(type), newRoom(type), newRoom(`${type}-more`)];
    const empty = newRoom(type);
    const [first, ...rest] = await Promise.all([
      stage.open('tcp', { room_id: large.id }),
      stage.open('ws', { room_id: large.id }),
      stage.open('tcp', { room_id: large.id }),
      stage.open('ws', { room_id: small.id }),
      stage.open('tcp', { room_id: small.id }),
      stage.open('ws', { room_id: other.id }),
    ]);
    const rooms = [large.room, small.room, empty.room];
    const counted = `{"${large.room}":3,"${small.room}":2,"${empty.room}":0}`;
    expect(
      await eventually(
        () => data('/goim/online/room', { type, rooms }),
        (text) => sameJson(text, counted),
        FIGURES_MS,
      ).then(JSON.parse),
    ).toEqual(JSON.parse(counted));

    const top = [large, small, other].map(({ room }, index) => `{"room_id":"${room}","count":${3 - index}}`);
    // The type is a prefix: of other types too.
    expect(await data('/goim/online/top', { type, limit: 10 })).toBe(`[${top.join(',')}]`);
    expect(await data('/goim/online/top', { type, limit: 2 })).toBe(`[${top.slice(0, 2).join(',')}]`);
    expect(await data('/goim/online/top', { type: other.type, limit: 2 })).toBe(`[${top[2]}]`);
    expect(first && (await first.heartbeat())).toBe(3);

    for (const client of rest.slice(2)) client.close();
    const left = `[${top[0]}]`;
    expect(
      await eventually(
        () => data('/goim/online/top', { type, limit: 10 }),
        (text) => text === left,
        2 * FIGURES_MS,
      ),
    ).toBe(left);
    expect(JSON.parse(await data('/goim/online/room', { type, rooms: [small.room] }))).toEqual({
      [small.room]: 0,
    });
  }, 60_000);

  test('one room alone is told in exactly these bytes', async () => {
    const { type, room } = newRoom();
    expect(await data('/goim/online/room', { type, rooms: room })).toBe(`{"${room}":0}`);
  });

  test('no room of a type is an empty list', async () => {
    expect(await data('/goim/online/top', { type: newRoom().type, limit: 10 })).toBe('[]');
  });

  test('a comma does not part rooms', async () => {
    expect(JSON.parse(await data('/goim/online/room', { type: 't', rooms: 'a,b' }))).toEqual({ 'a,b': 0 });
  });

  test('the total counts connections and addresses', async () => {
    await Promise.all([stage.open('tcp', { mid: newOp() }), stage.open('ws', {}), stage.open('ws', {})]);
    const enough = (text: string): boolean => (JSON.parse(text) as { conn_count: number }).conn_count >= 3;
    const text = await eventually(() => data('/goim/online/total'), enough, FIGURES_MS);
    expect(text).toMatch(/^\{"conn_count":\d+,"ip_count":[1-9]\d*\}$/);
    expect(enough(text)).toBe(true);
  }, 30_000);

  describe('nodes', () => {
    const weighted = new RegExp(
      '^\\{"domain":"[^"]+","tcp_port":\\d+,"ws_port":\\d+,"wss_port":\\d+,"heartbeat":\\d+,' +
        '"nodes":\\["[^"]+"(,"[^"]+"){0,4}\\],' +
        '"backoff":\\{"max_delay":300,"base_delay":3,"factor":1\\.8,"jitter":0\\.3\\},"heartbeat_max":\\d+\\}$',
    );

    test.each(['', 'web', 'ios', 'android'])(
      'for the platform %j are told as goim does',
      async (platform) => {
        expect(await data('/goim/nodes/weighted', platform === '' ? {} : { platform })).toMatch(weighted);
      },
    );

    test('are addresses, and host names for the web', async () => {
      const nodes = async (platform: string): Promise<string[]> =>
        (JSON.parse(await data('/goim/nodes/weighted', { platform })) as { nodes: string[] }).nodes;
      const [addresses, names] = [await nodes('ios'), await nodes('web')];
      expect(addresses).toHaveLength(names.length);
      for (const name of names) expect(name).not.toMatch(/^\d+\.\d+\.\d+\.\d+$/);
    });

    test('are told as instances', async () => {
      const instances = JSON.parse(await data('/goim/nodes/instances')) as Record<string, unknown>[];
      expect(instances.length).toBeGreaterThan(0);
      const text = expect.any(String) as unknown;
      for (const instance of instances) {
        expect(instance).toEqual({
          region: text,
          zone: text,
          env: text,
          appid: 'goim.comet',
          hostname: text,
          addrs: [expect.stringMatching(/^grpc:\/\/.+:\d+$/)],
          version: text,
          latest_timestamp: expect.any(Number),
          metadata: {
            addrs: text,
            conn_count: expect.stringMatching(/^\d+$/),
            ip_count: expect.stringMatching(/^\d+$/),
            offline: expect.stringMatching(/^(true|false)$/),
            weight: expect.stringMatching(/^\d+$/),
          },
        });
      }
      const port = stage.target.cometGrpc.split(':').at(-1);
      expect(instances.flatMap(({ addrs }) => addrs)).toContainEqual(expect.stringMatching(`:${port}$`));
    });
  });
}

function sameJson(a: string, b: string): boolean {
  const sorted = (text: string): string =>
    JSON.stringify(Object.entries(JSON.parse(text) as object).toSorted(([x], [y]) => x.localeCompare(y)));
  return sorted(a) === sorted(b);
}

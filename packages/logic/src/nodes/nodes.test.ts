import type { NodeRecord } from '@halley/cluster/registry/registry';
import type { NodeId } from '@halley/protocol/ids';
import { describe, expect, test } from '@jest/globals';

import { Balancer } from './balancer.js';
import { instancesJson } from './instances.js';
import { ClientNodes, type NodesOptions } from './nodes.js';
import { Regions } from './regions.js';

const comet = (id: string, fields: Partial<NodeRecord> = {}): NodeRecord => ({
  tier: 'comet',
  id: id as NodeId,
  incarnation: '1',
  addresses: { grpc: '127.0.0.1:3109', tcp: '127.0.0.1:3101', ws: '127.0.0.1:3102' },
  hostname: id,
  region: '',
  zone: '',
  env: 'dev',
  weight: 10,
  publicAddresses: [],
  portOffset: 0,
  load: { connections: 0, ips: 0 },
  state: 'serving',
  version: '0.1.0',
  registeredAtMs: 1_700_000_000_123,
  ...fields,
});
const load = (connections: number) => ({ load: { connections, ips: connections } });
const ids = (nodes: readonly NodeRecord[]) => nodes.map(({ id }) => id as string);

const regions = new Regions({ sh: ['10.1.0.0/16', '2001:db8::/32'] }, '');
const options: NodesOptions = {
  domain: 'conn.goim.io',
  hostDomain: '.goim.io',
  tcpPort: 0,
  wsPort: 0,
  wssPort: 0,
  heartbeatMs: 240_000,
  heartbeatMax: 2,
  backoff: { maxDelay: 300, baseDelay: 3, factor: 1.8, jitter: 0.3 },
};

describe('balancer', () => {
  const balancer = (...nodes: NodeRecord[]) => {
    const made = new Balancer(1.6);
    made.update(nodes);
    return made;
  };

  test('a node with fewer connections than its share comes first', () => {
    expect(ids(balancer(comet('a', load(100)), comet('b', load(10))).offer(''))).toEqual(['b', 'a']);
  });

  test('weight decides the share', () => {
    const heavy = comet('heavy', { ...load(60), weight: 30 });
    expect(ids(balancer(heavy, comet('light', load(40))).offer(''))).toEqual(['heavy', 'light']);
  });

  test("the client's region counts 1.6 times", () => {
    const near = comet('near', { ...load(60), region: 'sh' });
    const far = comet('far', { ...load(50), region: 'bj' });
    expect(ids(balancer(near, far).offer('sh'))).toEqual(['near', 'far']);
    expect(ids(balancer(near, far).offer(''))).toEqual(['far', 'near']);
  });

  test("orders the nodes of goim's own test as goim does", () => {
    const made = balancer(
      comet('01', { ...load(240_590), region: 'bj' }),
      comet('02', { ...load(375_420), region: 'sh' }),
      comet('03', { ...load(293_430), region: 'gz' }),
    );
    expect(ids(made.offer('sh'))).toEqual(['02', '01', '03']);
    expect(ids(made.offer(''))).toEqual(['01', '03', '02']);
  });

  test('offers rotate before the registry tells of the new connections', () => {
    const made = balancer(comet('a'), comet('b'), comet('c'));
    const first = new Set(Array.from({ length: 9 }, () => ids(made.offer(''))[0]));
    expect(first).toEqual(new Set(['a', 'b', 'c']));
  });

  test('what was offered is forgotten when the node tells of its load', () => {
    const made = balancer(comet('a', load(10)), comet('b', load(11)));
    for (let i = 0; i < 50; i += 1) made.offer('');
    made.update([comet('a', load(10)), comet('b', load(11))]);
    expect(ids(made.offer(''))).toEqual(['a', 'b']);
  });

  test('at most five are offered', () => {
    expect(balancer(...'abcdefg'.split('').map((id) => comet(id))).offer('')).toHaveLength(5);
  });

  test('draining nodes and those of weight 0 are offered to nobody', () => {
    const made = balancer(comet('a', { state: 'draining' }), comet('b', { weight: 0 }), comet('c'));
    expect(ids(made.offer(''))).toEqual(['c']);
  });

  test('follows the view when most nodes leave at once', () => {
    const made = balancer(comet('a'), comet('b'), comet('c'));
    made.update([comet('c')]);
    expect(ids(made.offer(''))).toEqual(['c']);
    made.update([]);
    expect(made.offer('')).toEqual([]);
  });
});

describe('weighted nodes', () => {
  const nodesOf = (records: NodeRecord[], changes: Partial<NodesOptions> = {}) => {
    const balancer = new Balancer(1.6);
    balancer.update(records);
    return new ClientNodes(balancer, regions, { ...options, ...changes });
  };

  test("has goim's shape, keys in its order", () => {
    expect(JSON.stringify(nodesOf([comet('host')]).weighted('', ''))).toBe(
      '{"domain":"conn.goim.io","tcp_port":3101,"ws_port":3102,"wss_port":3103,"heartbeat":240,"nodes":["127.0.0.1"],' +
        '"backoff":{"max_delay":300,"base_delay":3,"factor":1.8,"jitter":0.3},"heartbeat_max":2}',
    );
  });

  test('web is told host names, others addresses', () => {
    const nodes = nodesOf([comet('host', { publicAddresses: ['1.2.3.4', '5.6.7.8'] })]);
    expect(nodes.weighted('web', '').nodes).toEqual(['host.goim.io']);
    expect(nodes.weighted('ios', '').nodes).toEqual(['1.2.3.4', '5.6.7.8']);
  });

  test('without a comet the domain is named', () => {
    expect(nodesOf([]).weighted('', '').nodes).toEqual(['conn.goim.io']);
  });

  test('the ports are those of the comet that is offered first, and only its like stand beside it', () => {
    const other = { grpc: '10.0.0.2:3209', tcp: '10.0.0.2:3201', ws: '10.0.0.2:3202' };
    const nodes = nodesOf([comet('a', load(1)), comet('b', { ...load(9), addresses: other })]);
    expect(nodes.weighted('', '')).toMatchObject({ tcp_port: 3101, nodes: ['127.0.0.1'] });
    const fixed = nodesOf([comet('a'), comet('b', { addresses: other })], {
      tcpPort: 1,
      wsPort: 2,
      wssPort: 3,
    });
    expect(fixed.weighted('', '')).toMatchObject({ tcp_port: 1, ws_port: 2, wss_port: 3 });
    expect(new Set(fixed.weighted('', '').nodes)).toEqual(new Set(['127.0.0.1', '10.0.0.2']));
  });

  describe('the port of WSS', () => {
    const at = (id: string, offset: number, wss = false, connections = 0) =>
      comet(id, {
        ...load(connections),
        portOffset: offset,
        addresses: {
          tcp: `${id}:${3101 + offset}`,
          ws: `${id}:${3102 + offset}`,
          ...(wss ? { wss: `${id}:${3103 + offset}` } : {}),
        },
      });
    const told = (...nodes: NodeRecord[]) => nodesOf(nodes).weighted('', '');

    test('is that of a comet that serves it', () => {
      const served = comet('a', { addresses: { tcp: 'a:1', ws: 'a:2', wss: 'a:443' } });
      expect(told(served)).toMatchObject({ tcp_port: 1, ws_port: 2, wss_port: 443, nodes: ['a'] });
      expect(told(at('a', 100, true))).toMatchObject({ tcp_port: 3201, ws_port: 3202, wss_port: 3203 });
    });

    test('is where a comet would serve it when none does', () => {
      expect(told(at('a', 0))).toMatchObject({ wss_port: 3103 });
      expect(told(at('a', 200))).toMatchObject({ tcp_port: 3301, ws_port: 3302, wss_port: 3303 });
    });

    test("is goim's while there is no comet", () => {
      expect(told()).toMatchObject({ tcp_port: 3101, ws_port: 3102, wss_port: 3103 });
    });

    test('is told where only some serve it, and the others stay for clients without TLS', () => {
      const without = at('without', 0);
      const served = comet('served', {
        ...load(9),
        addresses: { tcp: 'served:3101', ws: 'served:3102', wss: 'served:443' },
      });
      expect(told(without, served)).toMatchObject({ wss_port: 443, nodes: ['without', 'served'] });
    });

    test('is not that of a comet whose other ports are not the told ones', () => {
      expect(told(at('a', 0), at('b', 100, true, 9))).toMatchObject({
        tcp_port: 3101,
        wss_port: 3103,
        nodes: ['a'],
      });
    });
  });

  test.each(['10.1.2.3', '2001:db8::1'])(
    'a client at %s is of the region that its network is in',
    (address) => {
      const nodes = nodesOf([
        comet('a', { ...load(60), region: 'sh' }),
        comet('b', { ...load(50), region: 'bj' }),
      ]);
      expect(nodes.weighted('web', address).nodes[0]).toBe('a.goim.io');
      expect(nodes.weighted('web', '10.2.0.1').nodes[0]).toBe('b.goim.io');
    },
  );

  test('a malformed network is a bad configuration that names it', () => {
    expect(() => new Regions({ sh: ['10.1'] }, '')).toThrow('nodes.regions.sh: "10.1"');
  });
});

describe('instances', () => {
  test("has goim's shape, with an exact time in nanoseconds", () => {
    const text = instancesJson([comet('host', { region: 'sh', zone: 'sh001', ...load(3) })]);
    expect(text).toBe(
      '[{"region":"sh","zone":"sh001","env":"dev","appid":"goim.comet","hostname":"host","addrs":["grpc://127.0.0.1:3109"],' +
        '"version":"0.1.0","latest_timestamp":1700000000123000000,"metadata":{"addrs":"127.0.0.1","conn_count":"3","ip_count":"3","offline":"false","weight":"10"}}]',
    );
  });

  test('leaves out draining comets and is an empty list without any', () => {
    expect(instancesJson([comet('a', { state: 'draining' })])).toBe('[]');
  });
});

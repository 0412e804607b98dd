import { expect, test } from '@jest/globals';

import { latencyHistogram, percentilesOf, summaryOf } from '../measure/latency.js';
import type { ConnectOutcome, LoadSide } from '../load/load-side.js';
import { Bench } from './bench.js';
import { memoryGrowth } from './growth.js';
import { DEFAULTS, SCENARIO_DEFAULTS } from './options.js';
import { rampSteps } from './ramp.js';
import type { BenchSample, TrafficResult } from './result.js';
import { mixedStreams, roomStreams, userStreams } from './streams.js';
import { Tally } from './tally.js';
import { clusterTarget, hostTarget, parsePid, withPids } from './target.js';
import { connectFaults, latenessWarnings, loadWarnings, trafficFaults } from './verdict.js';

const IDENTITY = { firstMid: 100, rooms: 3, roomType: 't', accepts: [1], keyPrefix: 'k-' };

test('every member of a room is counted, and all rooms and users have their turn', () => {
  const rooms = roomStreams(IDENTITY, 10);
  expect(rooms.all.map(({ target, members }) => [target, members])).toEqual([
    [{ kind: 'room', room: 't://0' }, 4],
    [{ kind: 'room', room: 't://1' }, 3],
    [{ kind: 'room', room: 't://2' }, 3],
  ]);
  expect(roomStreams(IDENTITY, 2).all).toHaveLength(2);
  for (const count of [1, 10, 7_919, 10_000]) {
    const users = userStreams(IDENTITY, count);
    const turns = new Set(Array.from({ length: count }, (_, push) => users.streamOf(push)));
    expect(turns.size).toBe(count);
  }
  expect(userStreams(IDENTITY, 2).all[1]?.target).toEqual({
    kind: 'user',
    mid: 101,
    key: 'k-1',
    connection: 1,
  });
});

test.each([0, 10, 33, 100])('of 100 pushes %d are to rooms, spread over them', (percent) => {
  const { all, streamOf } = mixedStreams(IDENTITY, 50, percent);
  const turns = Array.from({ length: 1_000 }, (_, push) => all[streamOf(push)]?.target.kind);
  expect(turns.filter((kind) => kind === 'room')).toHaveLength(10 * percent);
  if (percent > 0) expect(turns.slice(0, 100)).toContain('room');
});

const TRAFFIC: TrafficResult = {
  due: 10,
  ok: 10,
  refused: 0,
  unknown: 0,
  unsent: 0,
  whys: {},
  expected: 1_000,
  delivered: 1_000,
  lost: 0,
  outOfOrder: 0,
  repeated: 0,
  strays: 0,
  closed: {},
  windowMs: 1_000,
  pushesPerSecond: 10,
  deliveredPerSecond: 1_000,
  latency: summaryOf(latencyHistogram()),
  percentiles: [],
  lateness: summaryOf(latencyHistogram()),
  answers: summaryOf(latencyHistogram()),
  lastAfterMs: 1,
};

test('what speaks against the server is told, with reasons', () => {
  const judge = (more: Partial<TrafficResult>, inFlight = 1) =>
    trafficFaults({ ...TRAFFIC, ...more }, { inFlight });
  expect(judge({})).toEqual([]);
  expect(judge({ lost: 13 })).toEqual(['13 of 1000 messages were lost (1.30 %)']);
  expect(judge({ outOfOrder: 2 })).toEqual(['2 messages came out of order']);
  expect(judge({ outOfOrder: 2 }, 4)).toEqual([]);
  expect(judge({ refused: 3, whys: { full: 3 } })).toEqual(['3 pushes were refused: full 3']);
  expect(judge({ unsent: 1 })[0]).toContain('1 pushes were never sent');
  expect(judge({ closed: { eof: 2, reset: 5 } })).toEqual(['the server ended connections: reset 5, eof 2']);
  const connect = { connected: 1, elapsedMs: 1, perSecond: 1, latency: TRAFFIC.latency };
  expect(connectFaults([{ ...connect, failed: {}, retried: {} }])).toEqual([]);
  expect(connectFaults([{ ...connect, failed: { refused: 2 }, retried: { reset: 1 } }])).toEqual([
    'connections were given up: refused 2',
    'connections failed and were tried again: reset 1',
  ]);
});

test('a load side that has no processor left is said to be the bound, and who of it', () => {
  const warn = (readersPercent: number, pusherPercent: number, processes = 1, cores = 4) =>
    loadWarnings({ kind: 'native', readersPercent, pusherPercent }, { processes, cores });
  expect(warn(60, 60)).toEqual([]);
  expect(warn(95, 10)[0]).toContain('the readers took 95 %');
  expect(warn(95, 10, 2)).toEqual([]);
  expect(warn(10, 85)[0]).toContain('the pusher took 85 %');
  expect(warn(50, 45, 1, 1)[0]).toContain('readers and pusher together took 95 %');
});

test('late pushes are told where they are more than a few', () => {
  expect(latenessWarnings(TRAFFIC)).toEqual([]);
  const lateness = { ...TRAFFIC.lateness, p99Ms: 150 };
  expect(latenessWarnings({ ...TRAFFIC, lateness })[0]).toContain('150 ms and more after they were due');
});

test('latencies are summed up, and their curve ends where there are too few to tell', () => {
  const histogram = latencyHistogram();
  for (let ms = 1; ms <= 1_000; ms += 1) histogram.recordValue(ms * 1e6);
  const { p50Ms, p99Ms, maxMs, count } = summaryOf(histogram);
  expect(p50Ms).toBeCloseTo(500, -1);
  expect(p99Ms).toBeCloseTo(990, -1);
  expect(maxMs).toBeCloseTo(1_000, -1);
  expect(count).toBe(1_000);
  expect(percentilesOf(histogram).map(({ percentile }) => percentile)).toEqual([
    0, 25, 50, 75, 90, 95, 99, 99.5, 99.9, 100,
  ]);
  expect(percentilesOf(latencyHistogram())).toEqual([]);
});

test('a ramp doubles up to the most', () => {
  expect(rampSteps(1_000)).toEqual([1_000]);
  expect(rampSteps(5_000)).toEqual([1_000, 2_000, 4_000, 5_000]);
});

test('growing memory is told by the hour, without the first quarter', () => {
  const sample = (minute: number, mb: number): BenchSample => ({
    atMs: minute * 60_000,
    connections: 1,
    deliveredPerSecond: 0,
    pushesPerSecond: 0,
    p50Ms: 0,
    p99Ms: 0,
    cpuPercent: {},
    rssBytes: { comet: mb * 1_048_576 },
  });
  const samples = Array.from({ length: 20 }, (_, minute) =>
    sample(minute, minute < 5 ? minute * 100 : 500 + minute),
  );
  const [growth] = memoryGrowth(samples);
  expect(growth?.tier).toBe('comet');
  expect((growth?.bytesPerHour ?? 0) / 1_048_576).toBeCloseTo(60);
  expect(memoryGrowth(samples.slice(0, 4))).toEqual([]);
});

test("goim's ports hold where none are given; processes are named by whoever knows better", async () => {
  const target = await hostTarget('192.0.2.1', { tcp: '192.0.2.1:7000' });
  expect(target).toMatchObject({
    tcp: ['tcp://192.0.2.1:7000'],
    websocket: ['ws://192.0.2.1:3102/sub'],
    http: ['192.0.2.1:3111'],
    cometGrpc: ['192.0.2.1:3109'],
    processes: [],
  });
  expect(withPids(target, [parsePid('job=4711')]).processes).toEqual([{ tier: 'job', pid: 4_711 }]);
  expect(() => parsePid('4711')).toThrow('is no TIER=PID');
});

test('a cluster has the addresses of all its nodes, and its services are measured too', () => {
  const target = clusterTarget({
    path: 'cluster.json',
    processes: [
      { name: 'comet-1', tier: 'comet', pid: 1, ports: { tcp: 3101, ws: 3102, grpc: 3109 } },
      { name: 'logic-1', tier: 'logic', pid: 2, ports: { http: 3111, grpc: 3119 } },
    ],
    services: {
      redis: { address: '', pid: 3, start: { file: '', args: [], cwd: '', env: {} } },
    },
    bus: 'kafka',
    arguments: {},
  });
  expect(target).toMatchObject({
    tcp: ['tcp://127.0.0.1:3101'],
    websocket: ['ws://127.0.0.1:3102/sub'],
    http: ['127.0.0.1:3111'],
    grpc: ['127.0.0.1:3119'],
    cometGrpc: ['127.0.0.1:3109'],
    processes: [
      { tier: 'comet', pid: 1 },
      { tier: 'logic', pid: 2 },
      { tier: 'redis', pid: 3 },
    ],
  });
});

test('connections that are not made end a run: their messages would count as lost', async () => {
  const outcome: ConnectOutcome = {
    connected: 5,
    failed: new Map([
      ['timeout', 2],
      ['refused', 3],
    ]),
    retried: new Map(),
    elapsedMs: 10,
    latency: latencyHistogram(),
  };
  const side = { connect: async () => outcome } as LoadSide;
  const target = await hostTarget('192.0.2.1');
  const bench = new Bench(
    { ...DEFAULTS, ...SCENARIO_DEFAULTS.room, scenario: 'room', target, via: 'goim', batch: 1 },
    {
      startLoad: async () => side,
      beat: { nowNs: () => 0n, until: async () => undefined, close: async () => undefined },
      onProgress: () => undefined,
      signal: new AbortController().signal,
    },
  );
  await expect(bench.connectAll(side)).rejects.toThrow(
    '5 connections to tcp://192.0.2.1:3101 were not made: refused 3, timeout 2; nothing listens there',
  );
});

test('a run that is broken off while it connects waits for no connection', async () => {
  const never = new Promise<ConnectOutcome>(() => undefined);
  const side = { connect: () => never } as LoadSide;
  const target = await hostTarget('192.0.2.1');
  for (const when of ['before', 'meanwhile']) {
    const end = new AbortController();
    const bench = new Bench(
      { ...DEFAULTS, ...SCENARIO_DEFAULTS.room, scenario: 'room', target, via: 'goim', batch: 1 },
      {
        startLoad: async () => side,
        beat: { nowNs: () => 0n, until: async () => undefined, close: async () => undefined },
        onProgress: () => undefined,
        signal: end.signal,
      },
    );
    if (when === 'before') end.abort();
    const connecting = bench.connectAll(side);
    end.abort();
    await expect(connecting).rejects.toThrow('ended before all connections were made');
  }
});

test('where calls may overtake each other, what comes far behind is not taken for a repetition', () => {
  const sample = {
    delivered: 10,
    bytes: 0,
    latency: latencyHistogram(),
    outOfOrder: 1,
    repeated: 3,
    missing: 0,
    strays: 0,
    foreign: 0,
    heartbeats: 0,
    closed: new Map(),
    open: 1,
    cpuMs: 0,
    lastAtNs: 1n,
  };
  const [one, several] = [new Tally(), new Tally(true)];
  for (const tally of [one, several]) tally.add(sample);
  expect([one.unique, one.repeated]).toEqual([7, 3]);
  expect([several.unique, several.repeated]).toEqual([10, 0]);
});

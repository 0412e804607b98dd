import { afterAll, beforeAll, expect, test } from '@jest/globals';

import { CloseCode } from '@halley/protocol/close-code';

import { startCluster, type TestCluster } from '../harness/cluster.js';
import { unary } from '../harness/grpc.js';
import { HttpApi } from '../harness/http.js';
import { Logins } from '../harness/logins.js';
import { metric } from '../harness/metrics.js';
import { type Answer, HttpPusher, pushClient, type Pusher } from '../harness/pushers.js';
import { NO_TROUBLE, Traffic } from '../harness/traffic.js';
import { newMid, newOp } from '../harness/unique.js';
import { eventually } from '../harness/within.js';

/**
 * Nodes come and go while traffic flows. The tests follow each other on one cluster: the third of each tier comes, is
 * killed; then the second is told to stop, and the first goes on alone. What stays is never started again.
 */
const LOGICS = ['logic-1', 'logic-2'];
const USED_WITHIN_MS = 2_000;
/** A killed node is known to be gone after its session, 6 s; ZooKeeper looks twice a second. Half as much again for a busy machine. */
const GONE_WITHIN_MS = 12_000;
/** Well below a session: nobody waited for one to run out. */
const AT_ONCE_MS = 3_000;

let cluster: TestCluster;
let traffic: Traffic;
let pids: Readonly<Record<string, number | undefined>>;

beforeAll(async () => {
  cluster = await startCluster();
  pids = pidsOf(['comet-1', 'logic-1', 'job-1']);
  traffic = await Traffic.start(cluster, ['comet-1', 'comet-2'], LOGICS);
}, 120_000);

afterAll(async () => {
  await traffic?.close();
  await cluster?.stop();
}, 30_000);

function pidsOf(names: readonly string[]): Record<string, number | undefined> {
  return Object.fromEntries(names.map((name) => [name, cluster.cluster.node(name).pid]));
}

/** Whether new clients are sent to the comet: the one that a logic offers first is told by its port. */
async function isOffered(comet: string, logic: string): Promise<boolean> {
  const api = new HttpApi(`http://${cluster.address(logic, 'http')}`);
  try {
    for (let calls = 0; calls < 16; calls += 1) {
      const { text } = await api.get('/goim/nodes/weighted', { platform: 'android' });
      const { data } = JSON.parse(text) as { data: { tcp_port: number } };
      if (data.tcp_port === cluster.ports(comet)['tcp']) return true;
    }
    return false;
  } finally {
    api.close();
  }
}

/** The registered nodes of a tier by their gRPC or ops port, as logic-1 sees them. */
async function isListed(name: string): Promise<boolean> {
  const client = pushClient(cluster.address('logic-1', 'grpc'));
  try {
    const { nodes } = await unary(client.ListNodes.bind(client), {});
    const [kind, address] = name.startsWith('job')
      ? ['ops', cluster.address(name, 'ops')]
      : ['grpc', cluster.address(name, 'grpc')];
    return nodes.some(({ addresses }) => addresses?.[kind] === address);
  } finally {
    client.close();
  }
}

async function msUntil(is: () => Promise<boolean>, timeoutMs: number): Promise<number> {
  const since = performance.now();
  return (await eventually(is, Boolean, timeoutMs, 50)) ? performance.now() - since : Infinity;
}

/** Pushes one after the other without a pause, to nobody: on its connection there is always a request. */
class BusyCaller {
  count = 0;
  #stopped = false;
  readonly #failed: Answer[] = [];
  readonly #loop: Promise<void>;

  constructor(logics: readonly string[]) {
    const pusher = new HttpPusher(logics.map((logic) => `http://${cluster.address(logic, 'http')}`));
    this.#loop = this.#run(pusher).finally(() => pusher.close());
  }

  /** What failed, after a last push. */
  async stop(): Promise<Answer[]> {
    this.#stopped = true;
    await this.#loop;
    return this.#failed;
  }

  async #run(pusher: Pusher): Promise<void> {
    const [mid, op] = [newMid(), newOp()];
    do {
      const answer = await pusher.push({ mid }, op, '');
      this.count += 1;
      if (answer.outcome !== 'ok') this.#failed.push(answer);
    } while (!this.#stopped);
  }
}

/** Records that a job has taken from the bus. */
function recordsOf(job: string): Promise<number> {
  return metric(cluster.address(job, 'ops'), 'halley_job_records_total', /topic="halley-push"/);
}

/**
 * Assignments of partitions that a job has had in the group of the pushes. A member that joins makes the group change its
 * generation once, and each member is assigned once a generation: more would be a member that lost its place on the way.
 */
function rebalancesOf(job: string): Promise<number> {
  return metric(cluster.address(job, 'ops'), 'halley_bus_rebalances_total', /group="halley-job"/);
}

test('traffic flows: everything that is pushed arrives, once and in order', async () => {
  expect(
    await eventually(
      () => traffic.taken,
      (taken) => taken >= 200,
    ),
  ).toBeGreaterThanOrEqual(200);
  expect(await traffic.judge()).toEqual(NO_TROUBLE);
});

test('a third comet is offered by every logic and delivers within 2 s of its start', async () => {
  const name = await cluster.add('comet');
  const since = performance.now();
  for (const logic of LOGICS) {
    expect(await msUntil(() => isOffered(name, logic), USED_WITHIN_MS)).toBeLessThan(USED_WITHIN_MS);
  }
  const connected = await Promise.all([
    traffic.connect(name, 'tcp', LOGICS),
    traffic.connect(name, 'ws', LOGICS),
  ]);
  const left = USED_WITHIN_MS - (performance.now() - since);
  const allGet = (): boolean => connected.every(({ receiver }) => receiver.count > 0);
  expect(await eventually(allGet, Boolean, left, 20)).toBe(true);
  expect(await traffic.judge()).toEqual(NO_TROUBLE);
});

test('a third logic gets calls from the comets within 2 s of its start', async () => {
  const name = await cluster.add('logic');
  const calls = (): Promise<number> =>
    metric(cluster.address(name, 'ops'), 'halley_grpc_server_handled_total', /SessionService.*code="OK"/);
  expect(await eventually(calls, (count) => count > 0, USED_WITHIN_MS, 50)).toBeGreaterThan(0);
  expect(await traffic.judge()).toEqual(NO_TROUBLE);
});

test('a third job takes its share within one rebalance, without a push lost, repeated or out of order', async () => {
  const others = ['job-1', 'job-2'];
  const rebalances = await Promise.all(others.map(rebalancesOf));
  const name = await cluster.add('job');
  expect(
    await eventually(
      () => recordsOf(name),
      (count) => count > 0,
      10_000,
      50,
    ),
  ).toBeGreaterThan(0);
  const before = await Promise.all(others.map(recordsOf));
  await eventually(
    () => Promise.all(others.map(recordsOf)),
    (now) => now.every((count, index) => count > (before[index] ?? 0)),
  ).then((now) => {
    for (const [index, count] of now.entries()) expect(count).toBeGreaterThan(before[index] ?? 0);
  });
  expect(await traffic.judge()).toEqual(NO_TROUBLE);
  // Looked at last: one more rebalance on the heels of the first would show.
  expect(await Promise.all(others.map(rebalancesOf))).toEqual(rebalances.map((count) => count + 1));
  expect(await rebalancesOf(name)).toBe(1);
});

test('a comet that is killed is offered no more once its session is over, and the others deliver on', async () => {
  await cluster.kill('comet-3');
  traffic.giveUp('comet-3');
  for (const logic of LOGICS) {
    const gone = async (): Promise<boolean> => !(await isOffered('comet-3', logic));
    expect(await msUntil(gone, GONE_WITHIN_MS)).toBeLessThan(GONE_WITHIN_MS);
  }
  expect(await traffic.judge()).toEqual(NO_TROUBLE);
}, 60_000);

test('a logic that is killed is asked no more once its session is over; clients and pushes elsewhere notice nothing', async () => {
  const logins = new Logins(cluster, ['comet-1', 'comet-2']);
  await cluster.kill('logic-3');
  const gone = async (): Promise<boolean> => !(await isListed('logic-3'));
  expect(await msUntil(gone, GONE_WITHIN_MS)).toBeLessThan(GONE_WITHIN_MS);
  await logins.stop();
  expect(logins.count).toBeGreaterThan(10);
  expect(logins.failed).toEqual([]);
  expect(await traffic.judge()).toEqual(NO_TROUBLE);
}, 40_000);

test('a job that is killed is replaced by the others once its session is over: nothing is lost, repeated or out of order', async () => {
  await cluster.kill('job-3');
  const gone = async (): Promise<boolean> => !(await isListed('job-3'));
  expect(await msUntil(gone, GONE_WITHIN_MS)).toBeLessThan(GONE_WITHIN_MS);
  expect(await traffic.judge()).toEqual(NO_TROUBLE);
}, 40_000);

test('a comet that is told to stop is offered no more at once, and its clients are told to go and go on elsewhere', async () => {
  const closed = traffic.clientsOf('comet-2').map(async (client) => ({
    transport: client.transport,
    code: (await client.end(10_000)).code,
  }));
  const stopped = cluster.kill('comet-2', 'SIGTERM');
  for (const logic of LOGICS) {
    const gone = async (): Promise<boolean> => !(await isOffered('comet-2', logic));
    expect(await msUntil(gone, AT_ONCE_MS)).toBeLessThan(AT_ONCE_MS);
  }
  for (const { transport, code } of await Promise.all(closed))
    expect(code).toBe(transport === 'ws' ? CloseCode.Draining : undefined);
  await traffic.move('comet-2', 'comet-1');
  await stopped;
  expect(cluster.cluster.node('comet-2').ending).toBe('exit code 0');
  expect(await isListed('comet-2')).toBe(false);
  expect(await traffic.judge()).toEqual(NO_TROUBLE);
}, 40_000);

test('a logic that is told to stop leaves at once: not a push fails, not a client notices', async () => {
  const logins = new Logins(cluster, ['comet-1']);
  const busy = Array.from({ length: 20 }, () => new BusyCaller(['logic-2', 'logic-1']));
  await eventually(() => busy.every(({ count }) => count > 10), Boolean);
  await cluster.kill('logic-2', 'SIGTERM');
  expect((await Promise.all(busy.map((caller) => caller.stop()))).flat()).toEqual([]);
  expect(cluster.cluster.node('logic-2').ending).toBe('exit code 0');
  expect(await isListed('logic-2')).toBe(false);
  await logins.stop();
  expect(logins.failed).toEqual([]);
  expect(await traffic.judge()).toEqual(NO_TROUBLE);
}, 40_000);

test('a job that is told to stop hands over at once: nothing is lost, repeated or out of order', async () => {
  await cluster.kill('job-2', 'SIGTERM');
  expect(cluster.cluster.node('job-2').ending).toBe('exit code 0');
  expect(await isListed('job-2')).toBe(false);
  expect(await traffic.judge(AT_ONCE_MS)).toEqual(NO_TROUBLE);
}, 40_000);

test('those that stayed were not started again, and everything is counted to the last push', async () => {
  await traffic.stop();
  expect(await traffic.judge()).toEqual(NO_TROUBLE);
  expect(pidsOf(Object.keys(pids))).toEqual(pids);
});

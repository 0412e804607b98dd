import { afterAll, beforeAll, expect, test } from '@jest/globals';

import { startCluster, type TestCluster } from '../harness/cluster.js';
import { HttpApi, type Query } from '../harness/http.js';
import { metric } from '../harness/metrics.js';
import { GrpcPusher } from '../harness/pushers.js';
import { connectTo } from '../harness/traffic.js';
import { newKey, newMid, newOp } from '../harness/unique.js';
import { eventually } from '../harness/within.js';

let cluster: TestCluster;
let logic: HttpApi;
let pusher: GrpcPusher;

beforeAll(async () => {
  cluster = await startCluster({ comets: 1, logics: 1, jobs: 1 });
  logic = new HttpApi(`http://${cluster.address('logic-1', 'http')}`);
  pusher = new GrpcPusher([cluster.address('logic-1', 'grpc')]);
}, 120_000);
afterAll(async () => {
  pusher?.close();
  logic?.close();
  await cluster?.stop();
}, 20_000);

/** The status, and the bodies in the order answered. */
async function history(mid: bigint, query: Query = {}): Promise<{ status: number; bodies: string[] }> {
  const { status, text } = await logic.get(`/v1/history/users/${mid}`, { order: 'oldest', ...query });
  const { entries = [] } = JSON.parse(text) as { readonly entries?: readonly { readonly body: string }[] };
  return { status, bodies: entries.map(({ body }) => Buffer.from(body, 'base64').toString()) };
}

test('while the database is away pushes arrive, and the history has all when it is back', async () => {
  const [mid, op] = [newMid(), newOp()];
  const client = await connectTo(cluster, 'comet-1', 'tcp');
  await client.auth({ mid, key: newKey(), accepts: [op] });
  const { mariadb } = cluster.services;
  const push = async (body: string) => {
    expect(await pusher.push({ mid }, op, body)).toEqual({ outcome: 'ok' });
    expect((await client.next()).body.toString()).toBe(body);
  };

  for (const body of ['1', '2', '3']) await push(body);
  const all = (count: number) => Array.from({ length: count }, (_, index) => String(index + 1));
  const has = (count: number) => (answer: { bodies: string[] }) => answer.bodies.length === count;
  expect(await eventually(() => history(mid), has(3))).toEqual({ status: 200, bodies: all(3) });

  const archived = () => metric(cluster.address('job-1', 'ops'), 'halley_job_archived_total');
  expect(await eventually(archived, (count) => count === 3)).toBe(3);
  await mariadb.kill();
  for (const body of ['4', '5', '6']) await push(body);
  const ops = new HttpApi(`http://${cluster.address('logic-1', 'ops')}`);
  expect((await ops.get('/readyz')).status).toBe(200);
  ops.close();
  const refused = await eventually(
    () => history(mid),
    ({ status }) => status === 503,
  );
  expect(refused.status).toBe(503);
  // These are not archived yet, and so need no database.
  const newest = await history(mid, { order: 'newest', limit: 2 });
  expect(newest).toEqual({ status: 200, bodies: ['6', '5'] });

  await mariadb.restart();
  expect(await eventually(() => history(mid), has(6))).toEqual({ status: 200, bodies: all(6) });
  await push('7');
  expect(await eventually(() => history(mid), has(7))).toEqual({ status: 200, bodies: all(7) });
  client.close();
}, 120_000);

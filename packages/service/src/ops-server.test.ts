import { afterEach, beforeEach, expect, test } from '@jest/globals';

import { silentLogger } from './log.js';
import { Metrics } from './metrics.js';
import { OpsServer } from './ops-server.js';

let missing: string[] = [];
let metrics: Metrics;
let server: OpsServer;
let base = '';

beforeEach(async () => {
  missing = [];
  metrics = new Metrics({ process: false });
  server = new OpsServer({ host: '127.0.0.1', port: 0, metrics, ready: () => missing, log: silentLogger() });
  await server.start();
  base = `http://127.0.0.1:${server.boundPort}`;
});
afterEach(() => server.stop(1_000));

test('metrics are there for Prometheus', async () => {
  metrics
    .counter('halley_comet_accepted_total', 'Connections accepted.', ['transport'])
    .inc({ transport: 'tcp' });
  const reply = await fetch(`${base}/metrics`);
  expect(reply.headers.get('content-type')).toContain('text/plain');
  expect(await reply.text()).toContain('halley_comet_accepted_total{transport="tcp"} 1');
});

test('a process that lives is alive, also while it is not ready', async () => {
  missing = ['registry: not reached'];
  expect((await fetch(`${base}/healthz`)).status).toBe(200);
});

test('ready is 200; what is missing is named with 503', async () => {
  const ready = await fetch(`${base}/readyz`);
  expect([ready.status, await ready.json()]).toEqual([200, { ready: true }]);
  missing = ['registry: not reached'];
  const unready = await fetch(`${base}/readyz`);
  expect([unready.status, await unready.json()]).toEqual([503, { ready: false, missing }]);
});

test('a check that throws costs the request only', async () => {
  missing = undefined as unknown as string[];
  expect((await fetch(`${base}/readyz`)).status).toBe(500);
  expect((await fetch(`${base}/healthz`)).status).toBe(200);
});

test('asking for a metric again answers the same one', () => {
  const first = metrics.gauge('halley_x_connections', 'Connections.');
  expect(metrics.gauge('halley_x_connections', 'Connections.')).toBe(first);
});

test('a gauge can be read at scrape time', async () => {
  metrics.gauge('halley_x_level', 'Level.', [], (gauge) => gauge.set(7));
  expect(await metrics.registry.metrics()).toContain('halley_x_level 7');
});

test('stopping twice is stopping once', async () => {
  await server.stop(1_000);
  await server.stop(1_000);
  expect(server.boundPort).toBe(0);
});

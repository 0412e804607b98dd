import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { EmbeddedRegistry } from '@halley/cluster/registry/embedded';
import { loadConfig } from '@halley/service/config';
import { silentLogger } from '@halley/service/log';
import { Topic } from '@halley/store/bus/bus';

import { createJobApp, type JobApp } from './app.js';
import { jobConfig } from './config.js';
import { GROUP, Rig, until } from './testing/rig.js';

let rig: Rig;
let registry: EmbeddedRegistry;
const apps: JobApp[] = [];

beforeEach(async () => {
  rig = await Rig.open();
  registry = new EmbeddedRegistry({ log: silentLogger(), hub: rig.hub });
  await registry.start();
});

afterEach(async () => {
  for (const app of apps.splice(0)) await app.stop(2_000);
  await rig.close();
});

/** An app on the rig's bus, routes and registry. */
function jobApp(): JobApp {
  const config = loadConfig(jobConfig, {
    flags: Object.entries({
      'ops.port': 0,
      'consume.commitIntervalMs': 20,
      'consume.lagIntervalMs': 100,
      'consume.archiveJoinMs': 10,
      'consume.archiveIdleMs': 20,
    }).flatMap(([name, value]) => [`--${name}`, String(value)]),
  });
  const { bus, routes, streams, archive, metrics } = rig;
  const ports = { registry, bus, routes, streams, archive, metrics, log: silentLogger() };
  const app = createJobApp(config, ports);
  apps.push(app);
  return app;
}

const get = async (app: JobApp, path: string): Promise<{ status: number; text: string }> => {
  const response = await fetch(`http://${app.node.addresses.ops}${path}`);
  return { status: response.status, text: await response.text() };
};

describe('the job tier', () => {
  test('it is registered, ready and delivers; stopped, it has committed and is gone', async () => {
    const comet = await rig.comet('c1');
    await rig.connect('1', 'a', comet);
    const app = jobApp();
    expect(app.ready()).toContain('registry: not reached');
    await app.start();
    expect(app.ready()).toEqual([]);
    expect(rig.hub.list('job')).toEqual([app.node]);
    expect(app.node).toMatchObject({ tier: 'job', state: 'serving' });
    expect((await get(app, '/readyz')).status).toBe(200);

    for (let count = 0; count < 10; count += 1) await rig.push(`m${count}`, { users: ['1'] });
    await until(() => comet.shown.length === 10);
    await until(async () => (await rig.bus.lag(GROUP, Topic.Push)) === 0);
    await until(async () =>
      (await get(app, '/metrics')).text.includes('halley_job_lag_records{topic="halley-push"} 0'),
    );
    const { text } = await get(app, '/metrics');
    expect(text).toContain('halley_job_deliveries_total{class="durable",result="acked"} 10');
    expect(text).toContain('halley_job_links{state="live"} 1');
    expect(text).toContain('halley_job_link_queue_bytes{comet="c1"} 0');
    expect(text).toContain('halley_job_oldest_undelivered_seconds 0');
    expect(text).toContain('halley_job_commit_seconds_count');
    expect(text).toContain('halley_job_appended_total{result="entry"} 10');
    expect(text).toContain('halley_job_append_seconds_count');
    expect(text).toContain('halley_job_archived_total 10');
    expect(text).toContain('halley_job_archive_lag_seconds 0');
    expect(text).toContain(`halley_job_archive_watermark{partition="${rig.shardOf('1')}"} ${10 * 1_024 - 1}`);

    const states: string[] = [];
    const view = await registry.watch('job');
    view.onChange(({ changed, left }) => {
      states.push(...changed.map(({ state }) => state), ...left.map(() => 'left'));
    });
    await rig.push('last', { users: ['1'] });
    await app.stop(5_000);
    expect(states).toEqual(['draining', 'left']);
    expect(app.ready()).toContain('job: stopping');
    const waiting = await rig.bus.lag(GROUP, Topic.Push);
    expect(comet.texts.includes('last')).toBe(waiting === 0);
  });

  test('a registry that answers nothing holds no stop up', async () => {
    const comet = await rig.comet('c1');
    await rig.connect('1', 'a', comet);
    const register = registry.register.bind(registry);
    const asked: string[] = [];
    const never = (what: string) => () => {
      asked.push(what);
      return new Promise<void>(() => undefined);
    };
    registry.register = async (record) => ({
      ...(await register(record)),
      update: never('update'),
      deregister: never('deregister'),
    });
    const app = jobApp();
    await app.start();
    await rig.push('last', { users: ['1'] });
    await until(() => comet.shown.length === 1);
    const since = performance.now();
    await app.stop(10_000);
    expect(performance.now() - since).toBeLessThan(5_000);
    expect(asked).toEqual(['update', 'deregister']);
    expect(await rig.bus.lag(GROUP, Topic.Push)).toBe(0);
  });

  test('what is missing is named, and the age of what waits is measured', async () => {
    const comet = await rig.comet('c1');
    await rig.connect('1', 'a', comet);
    const app = jobApp();
    await app.start();
    const find = rig.routes.find.bind(rig.routes);
    rig.routes.find = async () => {
      throw new Error('away');
    };
    await rig.push('waits', { users: ['1'] });
    await until(() => app.ready().length > 0);
    const readyz = await get(app, '/readyz');
    expect(readyz.status).toBe(503);
    expect(JSON.parse(readyz.text)).toEqual({ ready: false, missing: ['route store: not reached'] });
    const age = async (): Promise<number> => {
      const { text } = await get(app, '/metrics');
      return Number(/^halley_job_oldest_undelivered_seconds (\S+)$/m.exec(text)?.[1]);
    };
    await until(async () => (await age()) > 0.2);
    rig.routes.find = find;
    await until(() => comet.shown.length === 1 && app.ready().length === 0);
    await until(async () => (await age()) === 0);
    await registry.stop(0);
    expect(app.ready()).toContain('registry: not reached');
  });

  test('a job alone refuses adapters that need all tiers in one process', async () => {
    const config = loadConfig(jobConfig, { flags: ['--ops.port', '0', '--registry.adapter', 'embedded'] });
    const app = createJobApp(config, { log: silentLogger() });
    await expect(app.start()).rejects.toMatchObject({ code: 'bad_config' });
  });
});

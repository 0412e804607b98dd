import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';

import { nodeRecord } from './fixture.js';
import type { NodeRecord, Registry, TierView, ViewChange } from './registry.js';

/** What a run of the contract needs of an adapter. Each registry that it makes stands for one process. */
export interface RegistryHarness {
  /** One more process of the same cluster; not started. */
  create(): Registry;
  /** Ends the process behind a registry without a goodbye. Nothing of that registry is used afterwards. */
  kill(registry: Registry): Promise<void>;
  /** Ends the session of a process that lives on. */
  expire(registry: Registry): Promise<void>;
  /** Stops what was made. */
  close(): Promise<void>;
}

/** The duties of every adapter of the registry port. */
export function registryContract(name: string, makeHarness: () => Promise<RegistryHarness>): void {
  describe(`the node registry, ${name}`, () => {
    let harness: RegistryHarness;

    beforeEach(async () => {
      harness = await makeHarness();
    });
    afterEach(async () => {
      await harness.close();
    });

    async function started(): Promise<Registry> {
      const registry = harness.create();
      await registry.start();
      return registry;
    }

    test('is healthy once it is started', async () => {
      const registry = harness.create();
      expect(registry.healthy()).toBe(false);
      await registry.start();
      expect(registry.healthy()).toBe(true);
      await registry.stop(1_000);
      expect(registry.healthy()).toBe(false);
    });

    test('refuses to be used before it is started', async () => {
      const registry = harness.create();
      await expect(registry.register(nodeRecord('a'))).rejects.toMatchObject({
        code: 'registry_unavailable',
      });
      await expect(registry.watch('logic')).rejects.toMatchObject({ code: 'registry_unavailable' });
    });

    test('shows in a new view who is already registered, with all that it says of itself', async () => {
      const [one, other] = [await started(), await started()];
      const record = nodeRecord('host:3119', {
        addresses: { grpc: '127.0.0.1:3119', http: '127.0.0.1:3111', ops: '127.0.0.1:3114' },
        region: 'sh',
        zone: 'sh001',
        publicAddresses: ['203.0.113.1', 'chat.example.org'],
        load: { connections: 12, ips: 3 },
        weight: 7,
      });
      await one.register(record);

      const view = await other.watch('logic');

      expect(view.nodes()).toEqual([record]);
    });

    test('tells watchers when a node joins, changes and leaves', async () => {
      const [one, other] = [await started(), await started()];
      const seen = new Recorder(await other.watch('comet'));
      const record = nodeRecord('a', { tier: 'comet' });

      const registration = await one.register(record);
      await expectEvents(seen, ['join a']);
      expect(seen.view.nodes()).toEqual([record]);

      await registration.update({ load: { connections: 5, ips: 2 } });
      await registration.update({ state: 'draining' });
      await expectOnly(seen, ({ load, state }) => load.connections === 5 && state === 'draining');
      expect(registration.record).toMatchObject({ load: { connections: 5 }, state: 'draining', weight: 10 });

      await registration.deregister();
      await expectEvents(seen, ['join a', 'change a', 'leave a']);
      expect(seen.view.nodes()).toEqual([]);
    });

    test('keeps tiers apart', async () => {
      const registry = await started();
      const comets = new Recorder(await registry.watch('comet'));
      const logics = new Recorder(await registry.watch('logic'));
      await registry.register(nodeRecord('a'));
      await expectEvents(logics, ['join a']);
      expect(comets.events).toEqual([]);
    });

    test('shows many nodes, and each leave by itself', async () => {
      const registry = await started();
      const seen = new Recorder(await (await started()).watch('logic'));
      const names = ['a', 'b', 'c', 'd'];
      const registrations = await Promise.all(names.map((id) => registry.register(nodeRecord(id))));
      await expectEvents(
        seen,
        names.map((id) => `join ${id}`),
      );
      await registrations[1]?.deregister();
      await registrations[1]?.deregister();
      await expectEvents(seen, [...names.map((id) => `join ${id}`), 'leave b']);
      expect(seen.view.nodes().map(({ id }) => id)).toHaveLength(3);
    });

    test('gives the same view for the same tier', async () => {
      const registry = await started();
      const views = await Promise.all([registry.watch('job'), registry.watch('job')]);
      expect(views[0]).toBe(views[1]);
      expect(await registry.watch('job')).toBe(views[0]);
    });

    test('keeps a listener that throws, and goes on with the others until they end', async () => {
      const registry = await started();
      const view = await registry.watch('logic');
      let threw = 0;
      view.onChange(() => {
        threw += 1;
        throw new Error('a fault of the listener');
      });
      const seen = new Recorder(view);
      const ended = new Recorder(view);
      ended.end();

      await registry.register(nodeRecord('a'));
      await expectEvents(seen, ['join a']);
      await registry.register(nodeRecord('b'));
      await expectEvents(seen, ['join a', 'join b']);

      expect(threw).toBe(2);
      expect(ended.events).toEqual([]);
    });

    test('replaces an earlier incarnation of the same name, seen as leaving and joining', async () => {
      const [old, next, third] = [await started(), await started(), await started()];
      const seen = new Recorder(await third.watch('logic'));
      const before = await old.register(nodeRecord('a', { incarnation: 'first' }));
      await expectEvents(seen, ['join a first'], { incarnations: true });

      await next.register(nodeRecord('a', { incarnation: 'second', registeredAtMs: 2_000 }));
      await expectEvents(seen, ['join a first', 'leave a first', 'join a second'], { incarnations: true });

      // What the earlier one still says changes nothing.
      await before.update({ weight: 99 });
      await before.deregister();
      await old.stop(1_000);
      await seen.settle();
      expect(seen.view.nodes()).toMatchObject([{ incarnation: 'second', weight: 10 }]);
    });

    test('lets go of what a stopped process registered at once', async () => {
      const [one, other] = [await started(), await started()];
      const seen = new Recorder(await other.watch('logic'));
      await one.register(nodeRecord('a'));
      await expectEvents(seen, ['join a']);
      const stoppedMs = performance.now();
      await one.stop(2_000);
      await expectEvents(seen, ['join a', 'leave a']);
      expect(performance.now() - stoppedMs).toBeLessThan(1_000);
    });

    test('lets go of what a killed process registered within the session timeout', async () => {
      const [one, other] = [await started(), await started()];
      const seen = new Recorder(await other.watch('logic'));
      await one.register(nodeRecord('a'));
      await expectEvents(seen, ['join a']);
      await harness.kill(one);
      await expectEvents(seen, ['join a', 'leave a'], { withinMs: 2 * other.sessionTimeoutMs });
    });

    test('shows a killed node that starts again', async () => {
      const [one, other] = [await started(), await started()];
      const seen = new Recorder(await other.watch('logic'));
      await one.register(nodeRecord('a', { incarnation: 'first' }));
      await expectEvents(seen, ['join a']);
      await harness.kill(one);
      const again = await started();
      await again.register(nodeRecord('a', { incarnation: 'second', registeredAtMs: 2_000 }));
      await expectOnly(seen, ({ incarnation }) => incarnation === 'second');
      await seen.settle(other.sessionTimeoutMs);
      expect(seen.view.nodes()).toMatchObject([{ incarnation: 'second' }]);
    });

    test('registers again after an expired session, with what was last said, and tells so', async () => {
      const [one, other] = [await started(), await started()];
      const seen = new Recorder(await other.watch('logic'));
      const registration = await one.register(nodeRecord('a'));
      await registration.update({ load: { connections: 8, ips: 1 } });
      let told = 0;
      one.onReregistered(() => (told += 1));
      const ended = one.onReregistered(() => (told += 100));
      ended();

      await harness.expire(one);

      await until(() => told === 1, 3 * one.sessionTimeoutMs);
      await expectOnly(seen, ({ load }) => load.connections === 8);
      expect(one.healthy()).toBe(true);
      await registration.update({ weight: 3 });
      await expectOnly(seen, ({ weight }) => weight === 3);
      await registration.deregister();
      await until(() => seen.view.nodes().length === 0);
    });

    test('does not register again what was deregistered', async () => {
      const [one, other] = [await started(), await started()];
      const view = await other.watch('logic');
      const registration = await one.register(nodeRecord('a'));
      await one.register(nodeRecord('b'));
      await registration.deregister();
      let told = false;
      one.onReregistered(() => (told = true));
      await harness.expire(one);
      await until(() => told, 3 * one.sessionTimeoutMs);
      await until(() => view.nodes().length === 1);
      expect(view.nodes().map(({ id }) => id)).toEqual(['b']);
    });

    test('keeps its views after an expired session', async () => {
      const [one, other] = [await started(), await started()];
      const seen = new Recorder(await one.watch('logic'));
      const registration = await other.register(nodeRecord('a'));
      await expectEvents(seen, ['join a']);

      await harness.expire(one);
      await until(() => one.healthy(), 3 * one.sessionTimeoutMs);
      await registration.update({ weight: 4 });
      await other.register(nodeRecord('b'));

      await expectEvents(seen, ['join a', 'change a', 'join b'], { withinMs: 3 * one.sessionTimeoutMs });
    });
  });
}

/** What a view told, in words, with repeated changes told once. */
class Recorder {
  readonly events: string[] = [];
  readonly detailed: string[] = [];
  readonly end: () => void;

  constructor(readonly view: TierView) {
    this.end = view.onChange((change) => this.#add(change));
  }

  #add(change: ViewChange): void {
    const add = (verb: string, records: readonly NodeRecord[]): void => {
      for (const { id, incarnation } of records) {
        if (this.events.at(-1) === `change ${id}` && verb === 'change') continue;
        this.events.push(`${verb} ${id}`);
        this.detailed.push(`${verb} ${id} ${incarnation}`);
      }
    };
    add('leave', change.left);
    add('join', change.joined);
    add('change', change.changed);
  }

  /** Gives what should not come the time to come. */
  async settle(forMs = 200): Promise<void> {
    await new Promise((resolve) => setTimeout(resolve, forMs));
  }
}

/** Waits for exactly these, in this order but for joins that follow each other. */
async function expectEvents(
  seen: Recorder,
  expected: readonly string[],
  { incarnations = false, withinMs = 3_000 } = {},
): Promise<void> {
  const events = incarnations ? seen.detailed : seen.events;
  await until(() => events.length >= expected.length, withinMs).catch(() => undefined);
  expect(sortRuns(events)).toEqual(sortRuns(expected));
}

/** Waits until the tier has one node, and that is so. */
async function expectOnly(seen: Recorder, holds: (record: NodeRecord) => boolean): Promise<void> {
  await until(() => seen.view.nodes().length === 1 && seen.view.nodes().every(holds), 10_000);
}

/** Sorts each run of joins, as nodes that join together do so in no particular order. */
function sortRuns(events: readonly string[]): string[] {
  const runs: string[][] = [];
  for (const event of events) {
    const run = runs.at(-1);
    if (run && event.startsWith('join ') && run[0]?.startsWith('join ')) run.push(event);
    else runs.push([event]);
  }
  return runs.flatMap((run) => run.toSorted());
}

async function until(holds: () => boolean, withinMs = 3_000): Promise<void> {
  const endMs = performance.now() + withinMs;
  while (!holds()) {
    if (performance.now() > endMs) throw new Error(`did not come about within ${withinMs} ms`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

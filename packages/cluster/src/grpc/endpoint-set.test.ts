import { afterEach, describe, expect, test } from '@jest/globals';
import { silentLogger } from '@halley/service/log';

import { nodeRecord } from '../registry/fixture.js';
import { LiveView } from '../registry/live-view.js';
import type { NodeRecord } from '../registry/registry.js';
import { EndpointSet } from './endpoint-set.js';

const HOLD_MS = 12_000;

/** A set over nodes a (:1), b (:2) and c (:3), with connections that work or not as told. */
class Fixture {
  nowMs = 0;
  readonly broken = new Set<string>();
  readonly probed = new Set<string>();
  readonly told: string[] = [];
  readonly view = new LiveView(silentLogger());
  readonly set = new EndpointSet({
    view: this.view,
    holdMs: HOLD_MS,
    probe: (address) => {
      this.probed.add(address);
      return { working: () => !this.broken.has(address), close: () => this.probed.delete(address) };
    },
    clock: { now: () => this.nowMs, monotonicMs: () => this.nowMs },
    onChange: (addresses) => this.told.push(addresses.join(' ')),
  });

  constructor(...records: NodeRecord[]) {
    this.view.replace(records);
    this.set.open();
  }

  later(ms: number): void {
    this.nowMs += ms;
    this.set.check();
  }
}

function at(port: number, id: string, fields: Partial<NodeRecord> = {}): NodeRecord {
  return nodeRecord(id, { addresses: { grpc: `:${port}` }, ...fields });
}

const [a, b, c] = [at(1, 'a'), at(2, 'b'), at(3, 'c')];
let fixture: Fixture;
afterEach(() => {
  fixture.set.close();
  expect(fixture.probed.size).toBe(0);
});

describe('the addresses of a tier', () => {
  test('are those of the nodes that are registered, as they come', () => {
    fixture = new Fixture(a, b);
    expect(fixture.set.addresses).toEqual([':1', ':2']);
    fixture.view.replace([a, b, c]);
    expect(fixture.told).toEqual([':1 :2 :3']);
  });

  test('are not told again when nothing about them changed', () => {
    fixture = new Fixture(a, b);
    fixture.view.replace([{ ...a, load: { connections: 9, ips: 9 } }, b]);
    expect(fixture.told).toEqual([]);
  });

  test('leave out what has no gRPC port', () => {
    fixture = new Fixture(a, nodeRecord('job', { addresses: { ops: ':9' } }));
    expect(fixture.set.addresses).toEqual([':1']);
  });

  test('leave out draining nodes, unless there is no other', () => {
    fixture = new Fixture(a, { ...b, state: 'draining' });
    expect(fixture.set.addresses).toEqual([':1']);
    fixture.view.replace([
      { ...a, state: 'draining' },
      { ...b, state: 'draining' },
    ]);
    expect(fixture.told).toEqual([':1 :2']);
    fixture.view.replace([{ ...a, state: 'draining' }, { ...b, state: 'draining' }, c]);
    expect(fixture.told).toEqual([':1 :2', ':3']);
  });

  test('keep a vanished node for as long as its connection works', () => {
    fixture = new Fixture(a, b);
    fixture.view.replace([a]);
    for (let i = 0; i < 10; i += 1) fixture.later(HOLD_MS);
    expect(fixture.set.addresses).toEqual([':1', ':2']);
    expect([...fixture.probed]).toEqual([':2']);
  });

  test('keep it for the hold time after its connection last worked', () => {
    fixture = new Fixture(a, b);
    fixture.view.replace([a]);
    fixture.later(HOLD_MS);
    fixture.broken.add(':2');
    fixture.later(HOLD_MS - 1);
    expect(fixture.told).toEqual([]);
    fixture.later(1);
    expect(fixture.told).toEqual([':1']);
  });

  test('drop a node at once that drained before it left', () => {
    fixture = new Fixture(a, b);
    fixture.view.replace([a, { ...b, state: 'draining' }]);
    fixture.view.replace([a]);
    expect(fixture.told).toEqual([':1']);
    expect(fixture.probed.size).toBe(0);
  });

  test('go over to the new address of a node that started again', () => {
    fixture = new Fixture(a, b);
    fixture.view.replace([a, at(4, 'b', { incarnation: 'b#2' })]);
    expect(fixture.told).toEqual([':1 :4']);
    expect(fixture.probed.size).toBe(0);
  });

  test('end the hold when the node comes back, or another takes its address', () => {
    fixture = new Fixture(a, b, c);
    fixture.view.replace([a]);
    expect([...fixture.probed].toSorted()).toEqual([':2', ':3']);
    fixture.view.replace([a, b]);
    expect([...fixture.probed]).toEqual([':3']);
    fixture.view.replace([a, b, at(3, 'd')]);
    expect(fixture.probed.size).toBe(0);
    expect(fixture.told).toEqual([]);
  });

  test('prefer a vanished node whose connection works to draining ones', () => {
    fixture = new Fixture(a, { ...b, state: 'draining' });
    fixture.view.replace([{ ...b, state: 'draining' }]);
    expect(fixture.set.addresses).toEqual([':1']);
    fixture.broken.add(':1');
    fixture.later(HOLD_MS);
    expect(fixture.told).toEqual([':2']);
  });

  test('are none when nobody is left', () => {
    fixture = new Fixture(a);
    fixture.view.replace([]);
    fixture.broken.add(':1');
    fixture.later(HOLD_MS);
    expect(fixture.told).toEqual(['']);
  });
});

import { expect, test } from '@jest/globals';
import fc from 'fast-check';

import { climb } from '../fallback.js';
import { memoryStore } from '../stores/memory.js';
import type { CursorStore } from '../stores/store.js';
import { FakeClock, settled } from '../testing/fake-clock.js';
import { makeRig, type Rig } from '../testing/harness.js';
import { seeded, SimulatedCluster, type SimulatedStream } from '../testing/simulated-cluster.js';
import type { TransportName } from '../transport/transport.js';

/** What a device was told of one stream over all of its starts: messages and gaps, in order. */
type Told =
  | { readonly name: 'message'; readonly id: string }
  | { readonly name: 'gap'; readonly epoch: number; readonly reason: string; readonly through: number };

const TRANSPORTS: readonly (TransportName | undefined)[] = ['websocket', 'sse', 'poll', undefined];

/** A device: a store, and one client after the other on it. */
class Device {
  readonly told = new Map<string, Told[]>();
  readonly #store: CursorStore = memoryStore();
  #rig: Rig | undefined;

  constructor(
    private readonly cluster: SimulatedCluster,
    private readonly clock: FakeClock,
    private readonly random: () => number,
  ) {}

  async start(): Promise<void> {
    this.#rig?.client.close();
    await settled();
    const { server } = this.cluster;
    const rig = makeRig({ server, clock: this.clock, store: this.#store, climb });
    this.#rig = rig;
    rig.client.on('message', async ({ stream, id }) => {
      if (this.random() < 0.3) await Promise.resolve();
      this.#tell(stream, { name: 'message', id });
    });
    rig.client.on('gap', ({ stream, epoch, reason, through }) => {
      this.#tell(stream, { name: 'gap', epoch: Number(epoch.slice(1)), reason, through });
    });
    for (const room of ['a', 'b']) rig.client.join(room).catch(() => undefined);
    rig.client.connect().catch(() => undefined);
    await settled();
  }

  /** Moves to some transport; it may not get there. */
  move(): void {
    const name = TRANSPORTS[Math.floor(this.random() * TRANSPORTS.length)];
    this.#rig?.client.useTransport(name).catch(() => undefined);
  }

  #tell(stream: string, told: Told): void {
    const all = this.told.get(stream) ?? [];
    this.told.set(stream, all);
    all.push(told);
  }
}

/** What was told must be what was, in order, but for what gaps declare. */
function judge(stream: SimulatedStream, told: readonly Told[]): void {
  const shown = told.flatMap((one) => (one.name === 'message' ? [one.id] : []));
  expect(shown).toEqual([...new Set(shown)]);
  expect(shown).toEqual(stream.ever.filter((id) => shown.includes(id)));
  let next = 0;
  for (const one of told) {
    if (one.name === 'message') {
      expect(`${stream.name} ${stream.ever[next]}`).toBe(`${stream.name} ${one.id}`);
      next += 1;
    } else {
      for (let id = stream.ever[next]; id !== undefined && declared(id, one); id = stream.ever[next])
        next += 1;
    }
  }
  expect(stream.ever.slice(next)).toEqual([]);
}

function declared(id: string, gap: Extract<Told, { name: 'gap' }>): boolean {
  const [epoch = 0, position = 0] = id.split('/').map(Number);
  return epoch < gap.epoch ? gap.reason === 'epoch' : epoch === gap.epoch && position <= gap.through;
}

async function run(seed: number): Promise<void> {
  const random = seeded(seed);
  const cluster = new SimulatedCluster(random);
  const clock = new FakeClock(random);
  const device = new Device(cluster, clock, random);
  await device.start();
  for (let step = 0; step < 120; step += 1) {
    cluster.step();
    const chance = random();
    if (chance < 0.02) await device.start();
    else if (chance < 0.06) device.move();
    await clock.advance(chance < 0.2 ? 1_000 : 10);
  }
  cluster.heal();
  // As long as the longest wait between attempts.
  await clock.advance(70_000);
  for (let turn = 0; turn < 60; turn += 1) {
    cluster.pump();
    await clock.advance(1_000);
  }
  for (const stream of cluster.streams) judge(stream, device.told.get(stream.name) ?? []);
}

test('whatever is lost, repeated, reordered, cut or moved, each message is shown once, in order, or declared missing', async () => {
  const seed = Number(process.env['SEED'] ?? 20_260_401);
  await fc.assert(fc.asyncProperty(fc.integer(), run), { seed, numRuns: 50 });
}, 60_000);

test('the judge sees a message that is lost, shown twice or out of order', () => {
  const stream = { name: 's', epoch: 1, positions: [], floor: -1, newest: 3, ever: ['1/1', '1/2', '1/3'] };
  const told = (...ids: string[]): Told[] => ids.map((id) => ({ name: 'message', id }));
  judge(stream, told('1/1', '1/2', '1/3'));
  judge(stream, [{ name: 'gap', epoch: 1, reason: 'retention', through: 2 }, ...told('1/3')]);
  for (const wrong of [
    told('1/1', '1/3'),
    told('1/1', '1/2'),
    told('1/1', '1/1', '1/2', '1/3'),
    told('1/2', '1/1', '1/3'),
  ]) {
    expect(() => judge(stream, wrong)).toThrow(/toEqual|toBe/);
  }
});

import { randomUUID } from 'node:crypto';

import { expect, test } from '@jest/globals';
import fc from 'fast-check';

import { key, makePush, NO_LIMITS, streamIn, type StreamsHarness } from './contract-fixture.js';
import { StreamsModel } from './contract-model.js';
import { BEFORE_ALL, type AppendBatch, type CursorWrite } from './streams.js';

const SHARDS = [2, 3];
const EPOCHS = ['e1', 'e2'];
const STREAMS_A_SHARD = 3;

const shard = fc.constantFrom(...SHARDS);
const epoch = fc.constantFrom('e1', 'e1', 'e1', 'e2');
/** From what is known to be applied. */
const offset = fc.integer({ min: -12, max: 12 });
const pushFields = fc.record({
  step: fc.integer({ min: 1, max: 3 }),
  id: fc.integer({ min: 0, max: 12 }),
  caller: fc.constantFrom('a', 'b'),
  digest: fc.constantFrom('x', 'x', 'y'),
  bytes: fc.constantFrom(0, 20, 2_000),
  targets: fc.uniqueArray(
    fc.record({
      index: fc.nat(STREAMS_A_SHARD - 1),
      keys: fc.uniqueArray(fc.constantFrom('k1', 'k2'), { maxLength: 2 }),
    }),
    { maxLength: STREAMS_A_SHARD, selector: ({ index }) => index },
  ),
});
const operation = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      kind: fc.constant('append' as const),
      shard,
      epoch,
      gap: fc.oneof({ weight: 4, arbitrary: fc.constant(0) }, fc.integer({ min: -6, max: 2 })),
      pushes: fc.array(pushFields, { maxLength: 6 }),
      rest: fc.nat(2),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constant('restore' as const), shard, epoch, at: fc.nat(20) }),
  },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('trim' as const), shard, epoch, offset }) },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('look' as const),
      shard,
      epoch,
      offset,
      max: fc.integer({ min: 1, max: 6 }),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('cursors' as const),
      shard,
      writes: fc.array(
        fc.record({
          index: fc.nat(STREAMS_A_SHARD - 1),
          device: fc.nat(40),
          owner: fc.constantFrom('01', '02', '03-a', '03-b'),
          epoch,
          position: fc.nat(9),
        }),
        { maxLength: 40 },
      ),
    }),
  },
);
type Operation = typeof operation extends fc.Arbitrary<infer T> ? T : never;

/** Any operations have the same answers, and leave the same behind, as in the model. */
export function modelContract(harness: () => StreamsHarness): void {
  test('answers as the model does, whatever is asked of it in whatever order', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(operation, { maxLength: 40 }), async (operations) => {
        const run = new ModelRun(harness());
        for (const one of operations) await run.apply(one);
        await run.compareAll();
      }),
      { numRuns: 150 },
    );
  }, 120_000);
}

/** One sequence of operations, on streams, epochs and ids of its own. */
class ModelRun {
  readonly #model: StreamsModel;
  readonly #unique = randomUUID();
  readonly #streams = new Map<number, string[]>();

  constructor(private readonly harness: StreamsHarness) {
    this.#model = new StreamsModel(harness.shards);
    let names = 0;
    for (const of of SHARDS)
      this.#streams.set(
        of,
        Array.from({ length: STREAMS_A_SHARD }, () =>
          streamIn(of, harness.shards, () => `r/${this.#unique}/${(names += 1)}`),
        ),
      );
  }

  async apply(one: Operation): Promise<void> {
    const { streams } = this.harness;
    const model = this.#model;
    if (one.kind === 'append') {
      const batch = this.#batch(one);
      expect(await streams.append(batch)).toEqual(model.append(batch));
    } else if (one.kind === 'restore') {
      const of = this.#epoch(one.epoch);
      expect(await streams.restore(one.shard, of, one.at)).toEqual(model.restore(one.shard, of, one.at));
    } else if (one.kind === 'trim') {
      const through = this.#applied(one.shard) + one.offset;
      await streams.trim(one.shard, this.#epoch(one.epoch), through);
      model.trim(one.shard, this.#epoch(one.epoch), through);
    } else if (one.kind === 'look') {
      await this.#compare(one.shard, one.epoch, this.#applied(one.shard) + one.offset, one.max);
    } else {
      const writes = this.#cursorWrites(one);
      await streams.saveCursors(writes);
      model.saveCursors(writes);
    }
  }

  async compareAll(): Promise<void> {
    for (const of of SHARDS) for (const name of EPOCHS) await this.#compare(of, name, BEFORE_ALL, 100_000);
  }

  async #compare(of: number, epochName: string, after: number, maxEntries: number): Promise<void> {
    const { streams } = this.harness;
    const model = this.#model;
    const named = this.#epoch(epochName);
    const names = this.#streams.get(of)!;
    const queries = names.map((stream) => ({ ...NO_LIMITS, stream, after, maxEntries }));
    expect(await streams.state(of, named)).toEqual(model.state(of, named));
    expect(await streams.read(named, queries)).toEqual(queries.map((query) => model.read(named, query)));
    // Until this run restores the shard it is another run's, whose streams are not asked for.
    if (EPOCHS.some((name) => model.state(of, this.#epoch(name))))
      expect(await streams.newest(names)).toEqual(model.newest(names));
    expect(await streams.scan(of, named, after, maxEntries)).toEqual(
      model.scan(of, named, after, maxEntries),
    );
    for (const stream of names) expect(await streams.cursors(stream)).toEqual(model.cursors(stream));
  }

  #batch(one: Extract<Operation, { kind: 'append' }>): AppendBatch {
    const names = this.#streams.get(one.shard)!;
    const before = Math.max(BEFORE_ALL, this.#applied(one.shard) + one.gap);
    let position = before;
    const pushes = one.pushes.map(({ step, id, caller, digest, bytes, targets }) => {
      position += step;
      return makePush(
        position,
        targets.map(({ index, keys }) => ({ stream: names[index]!, keys: keys.map(key) })),
        {
          id: `${this.#unique} ${id}`,
          caller,
          digest,
          body: Buffer.alloc(bytes, position),
          acceptedAtMs: this.harness.now(),
        },
      );
    });
    return { shard: one.shard, epoch: this.#epoch(one.epoch), before, through: position + one.rest, pushes };
  }

  #cursorWrites(one: Extract<Operation, { kind: 'cursors' }>): CursorWrite[] {
    return one.writes.map(({ index, device, epoch: name, ...write }) => ({
      ...write,
      stream: this.#streams.get(one.shard)![index]!,
      key: key(`d${device}`),
      epoch: this.#epoch(name),
      ttlMs: 600_000,
    }));
  }

  #applied(of: number): number {
    const state = this.#model.state(of, this.#epoch('e1')) ?? this.#model.state(of, this.#epoch('e2'));
    return state?.applied ?? BEFORE_ALL;
  }

  #epoch(name: string): string {
    return `${name} ${this.#unique}`;
  }
}

import { expect, test } from '@jest/globals';
import fc from 'fast-check';

import type { Position, ShardEntry } from '../streams/streams.js';
import type { Archive, ArchivedEntry, Kept, Retention } from './archive.js';
import { archived, comparable, freshEpoch, retainAll, row } from './contract-fixture.js';

const STREAMS = ['u/1', 'u/2', 'all'];

/** What an archive should do, as simply as it can be said, for one shard. */
class ModelArchive {
  watermark: Position = -1;
  readonly #floors = new Map<string, Position>();
  #rows: ShardEntry[] = [];

  store(from: Position, through: Position, rows: readonly ShardEntry[]): boolean {
    if (this.watermark !== from) return false;
    this.watermark = through;
    this.#rows.push(...rows);
    return true;
  }

  read(stream: string, after: Position, through: Position, maxEntries: number) {
    const floor = this.floor(stream);
    const found = this.#of(stream).filter(
      ({ position }) => position > after && position > floor && position <= through,
    );
    return { entries: found.slice(0, maxEntries), floor, more: found.length > maxEntries };
  }

  history(
    stream: string,
    [after, before]: readonly [Position, Position],
    [from, to]: readonly [number, number],
  ) {
    return this.#of(stream).filter(
      ({ position, acceptedAtMs }) =>
        position > after && position < before && acceptedAtMs >= from && acceptedAtMs < to,
    );
  }

  retain({ resume, history }: Retention): void {
    for (const stream of STREAMS) {
      const left = this.#of(stream).filter(({ position }) => position > this.floor(stream));
      while (leaves(left, resume)) this.#floors.set(stream, left.shift()!.position);
      for (let left = this.#of(stream); leaves(left, history); left = this.#of(stream)) {
        const { position } = left[0]!;
        if (position > this.floor(stream)) break;
        this.#rows = this.#rows.filter((one) => one.stream !== stream || one.entry.position !== position);
      }
    }
  }

  floor(stream: string): Position {
    return this.#floors.get(stream) ?? -1;
  }

  #of(stream: string): ArchivedEntry[] {
    return this.#rows
      .filter((one) => one.stream === stream)
      .map(archived)
      .sort((one, other) => one.position - other.position);
  }
}

function leaves(entries: readonly ArchivedEntry[], { sinceMs, maxEntries }: Kept): boolean {
  const [first] = entries;
  return first !== undefined && (entries.length > maxEntries || first.acceptedAtMs < sinceMs);
}

const pushArbitrary = fc.record({
  streams: fc.subarray(STREAMS, { minLength: 1 }),
  skip: fc.integer({ min: 1, max: 3 }),
  acceptedAtMs: fc.integer({ min: 1, max: 15 }),
  bodyBytes: fc.constantFrom(0, 10, 300, 5_000),
});
const kept = fc.record({
  sinceMs: fc.integer({ min: 0, max: 15 }),
  maxEntries: fc.integer({ min: 0, max: 8 }),
});
const position = fc.integer({ min: -1, max: 60 });
const stream = fc.constantFrom(...STREAMS, 'u/3');

const stepArbitrary = fc.oneof(
  fc.record({
    step: fc.constant('store' as const),
    pushes: fc.array(pushArbitrary, { maxLength: 6 }),
    stale: fc.boolean(),
  }),
  fc.record({ step: fc.constant('retain' as const), resume: kept, history: kept }),
  fc.record({
    step: fc.constant('read' as const),
    stream,
    after: position,
    through: position,
    maxEntries: fc.integer({ min: 1, max: 5 }),
  }),
  fc.record({
    step: fc.constant('history' as const),
    stream,
    direction: fc.constantFrom('forward' as const, 'backward' as const),
    positions: fc.tuple(position, position),
    times: fc.tuple(fc.integer({ min: 0, max: 15 }), fc.integer({ min: 0, max: 18 })),
    maxEntries: fc.integer({ min: 1, max: 5 }),
  }),
);

/** Random calls have the answers of the model. */
export function archiveModelTest(archiveOf: () => Archive): void {
  test('does what a simple model does, whatever is called', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(stepArbitrary, { minLength: 1, maxLength: 12 }), async (steps) => {
        const archive = archiveOf();
        const model = new ModelArchive();
        const epoch = freshEpoch();
        for (const step of steps) {
          if (step.step === 'store') {
            let at = model.watermark;
            const rows = step.pushes.flatMap(({ streams, skip, acceptedAtMs, bodyBytes }) => {
              at += skip;
              const body = Buffer.alloc(bodyBytes, at);
              return streams.map((name) => row(name, at, { acceptedAtMs, body }));
            });
            const from = step.stale ? model.watermark + 1 : model.watermark;
            const batch = { shard: 0, from, through: at, entries: rows };
            const [stored] = await archive.store(epoch, [batch]);
            expect(stored).toBe(model.store(from, at, rows));
            expect(await archive.watermark(0, epoch)).toBe(model.watermark);
          } else if (step.step === 'retain') {
            await retainAll(archive, step);
            model.retain(step);
          } else if (step.step === 'read') {
            const { after, through, maxEntries } = step;
            const query = { stream: step.stream, after, through, maxEntries, maxBytes: 1e9 };
            const page = await archive.read(epoch, query);
            const expected = model.read(step.stream, after, through, maxEntries);
            expect({ ...page, entries: page.entries.map(comparable) }).toEqual(expected);
          } else {
            const [afterPosition, beforePosition] = step.positions;
            const [fromMs, toMs] = step.times;
            const { direction, maxEntries } = step;
            const bounds = { afterPosition, beforePosition, fromMs, toMs };
            const page = await archive.history(epoch, {
              stream: step.stream,
              direction,
              maxEntries,
              ...bounds,
            });
            const all = model.history(step.stream, step.positions, step.times);
            const expected = direction === 'forward' ? all : all.toReversed();
            expect(page.entries.map(comparable)).toEqual(expected.slice(0, maxEntries));
            expect(page.more).toBe(expected.length > maxEntries);
          }
        }
        for (const name of STREAMS) {
          const all = await archive.read(epoch, {
            stream: name,
            after: -1,
            through: 1_000,
            maxEntries: 1_000,
            maxBytes: 1e9,
          });
          expect({ ...all, entries: all.entries.map(comparable) }).toEqual(
            model.read(name, -1, 1_000, 1_000),
          );
        }
      }),
      { numRuns: 100 },
    );
  }, 120_000);
}

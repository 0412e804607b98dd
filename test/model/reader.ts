import type { Position } from '@halley/store/streams/streams';

import { partitionOf } from './bus.js';
import { read, type Held } from './shard.js';
import type { Row, Rows } from './archive.js';
import type { World } from './world.js';

export const PAGE = 3;

export interface Page {
  readonly entries: readonly Row[];
  readonly through: Position;
  readonly gap?: { readonly after: Position; readonly through: Position };
  readonly more: boolean;
}

/**
 * One read of a stream by logic: Redis in one script, then the database. It may stop between the two for any time. What
 * Redis has lost, and job hasn't restored yet, is in the database up to the watermark, and in the bus above it.
 */
export class Read {
  #held: Held | undefined;
  #lost = false;
  #rows: Rows | undefined;
  /** The answer, which is on its way. */
  page: Page | undefined;

  constructor(
    private readonly world: World,
    private readonly stream: number,
    private readonly after: Position,
  ) {}

  /** Goes one step on; answers false when a store could not be read, which ends this read. */
  step(): boolean {
    const { archive, faults } = this.world;
    if (faults.databaseFirst) return this.#databaseFirst();
    if (!this.#held) {
      if (faults.floorFirst) this.#rows = archive.read(this.stream, this.after, this.after, PAGE);
      if (this.#lost) this.#held = archived(archive.watermarks[partitionOf(this.stream)]!);
      else this.#lost = !this.#readRedis();
      return true;
    }
    if (this.after >= this.#held.trimmed) {
      this.page = assemble(this.after, this.#held, undefined);
      return true;
    }
    const rows = archive.read(this.stream, this.after, this.#held.trimmed, PAGE);
    this.page = assemble(this.after, this.#held, { ...rows, floor: this.#rows?.floor ?? rows.floor });
    return true;
  }

  #readRedis(): boolean {
    const { redis } = this.world;
    this.#held = read(redis.shards[partitionOf(this.stream)]!, this.stream, this.after, PAGE);
    return this.#held !== undefined;
  }

  #databaseFirst(): boolean {
    if (!this.#rows) {
      this.#rows = this.world.archive.read(this.stream, this.after, Number.POSITIVE_INFINITY, PAGE);
      return true;
    }
    if (!this.#readRedis()) return false;
    this.page = assemble(this.after, this.#held!, this.#rows);
    return true;
  }
}

/** What stands in for a shard that Redis has lost. */
function archived(watermark: Position): Held {
  return { trimmed: watermark, applied: watermark, entries: [], more: false };
}

/** A page of what the database has up to T and Redis above it. `rows` is undefined where the database isn't needed. */
function assemble(after: Position, held: Held, rows: Rows | undefined): Page {
  const gap = rows && after < rows.floor ? { after, through: rows.floor } : undefined;
  const archived = rows?.rows ?? [];
  const from = archived.at(-1)?.position ?? gap?.through ?? after;
  if (rows?.more) return pageOf(archived, archived.at(-1)!.position, true, gap);
  const all = [...archived, ...held.entries.filter(({ position }) => position > from)];
  const entries = all.slice(0, PAGE);
  if (all.length > PAGE) return pageOf(entries, entries.at(-1)!.position, true, gap);
  // Redis cut its entries off at its own last one, which may be in the gap by now.
  const through = held.more ? held.entries.at(-1)!.position : held.applied;
  return pageOf(entries, Math.max(through, from), held.more, gap);
}

function pageOf(entries: readonly Row[], through: Position, more: boolean, gap: Page['gap']): Page {
  return gap ? { entries, through, more, gap } : { entries, through, more };
}

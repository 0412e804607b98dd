import type { Position } from '@halley/store/streams/streams';

import { partitionOf } from './bus.js';
import { note, placesAbove, type Collapses } from './collapse.js';
import { collapsed, read, type Held } from './shard.js';
import type { Row, Rows } from './archive.js';
import type { World } from './world.js';

export const PAGE = 3;

export interface Page {
  readonly entries: readonly Row[];
  readonly through: Position;
  readonly gap?: { readonly after: Position; readonly through: Position };
  readonly more: boolean;
  /** Entries that a newer one took the place of. */
  readonly leftOut: readonly Row[];
}

/**
 * One read of a stream by logic: Redis in one script, then the database. It may stop between the two for any time. What
 * Redis has lost, and job hasn't restored yet, is in the database up to the watermark, and in the bus above it. Then it looks,
 * again first in Redis and then in the database, what newer entries take the place of some of the page.
 */
export class Read {
  #held: Held | undefined;
  #lost = false;
  #rows: Rows | undefined;
  #whole: Page | undefined;
  /** Entries whose place something in the database may take. */
  #open: readonly Row[] | undefined;
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
    if (this.#whole) return this.#collapse(this.#whole);
    if (faults.databaseFirst) return this.#databaseFirst();
    if (!this.#held) {
      if (faults.floorFirst) this.#rows = archive.read(this.stream, this.after, this.after, PAGE);
      if (this.#lost) this.#held = archived(archive.watermarks[partitionOf(this.stream)]!);
      else this.#lost = !this.#readRedis();
      return true;
    }
    if (this.after >= this.#held.trimmed) {
      this.#whole = assemble(this.after, this.#held, undefined);
      return true;
    }
    const rows = archive.read(this.stream, this.after, this.#held.trimmed, PAGE);
    this.#whole = assemble(this.after, this.#held, { ...rows, floor: this.#rows?.floor ?? rows.floor });
    return true;
  }

  /** Redis, and in the next step the database, where what was trimmed since may be. */
  #collapse(whole: Page): boolean {
    const { redis, archive, faults } = this.world;
    // Beyond the page, or in it: what else stands within it by now is passed over.
    const isCollapsed = (row: Row, newest: Collapses): boolean =>
      placesAbove(this.stream, row.push).some((place) => {
        const position = newest.get(place) ?? -1;
        if (faults.collapseItself) return position >= row.position;
        return position > row.position && (position > whole.through || faults.collapseWithin === true);
      });
    const keyed = whole.entries.filter(({ push }) => push.collapse !== undefined);
    if (!this.#open) {
      const places = keyed.flatMap(({ push }) => placesAbove(this.stream, push));
      const held = collapsed(redis.shards[partitionOf(this.stream)]!, places);
      const within: Collapses = new Map();
      for (const row of keyed) note(within, this.stream, row, faults);
      const gone = keyed.filter(
        (row) =>
          placesAbove(this.stream, row.push).some((place) => (within.get(place) ?? -1) > row.position) ||
          (held && isCollapsed(row, held.newest)),
      );
      this.#whole = without(whole, gone);
      this.#open = keyed.filter((row) => !gone.includes(row) && (!held || row.position < held.trimmed));
    } else {
      const gone = this.#open.filter((row) => isCollapsed(row, archive.collapses));
      this.page = without(whole, gone);
      return true;
    }
    if (this.#open.length === 0) this.page = this.#whole;
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
    this.#whole = assemble(this.after, this.#held!, this.#rows);
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
  const page = { entries, through, more, leftOut: [] };
  return gap ? { ...page, gap } : page;
}

function without(page: Page, gone: readonly Row[]): Page {
  if (gone.length === 0) return page;
  const entries = page.entries.filter((row) => !gone.includes(row));
  return { ...page, entries, leftOut: [...page.leftOut, ...gone] };
}

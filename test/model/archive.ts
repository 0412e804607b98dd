import { BEFORE_ALL, type Position } from '@halley/store/streams/streams';

import { PARTITIONS, STREAMS } from './bus.js';
import { note, type Collapses } from './collapse.js';
import type { Faults } from './faults.js';
import type { Entry, StreamEntry } from './shard.js';

export type Row = Omit<Entry, 'prev'>;

export interface Rows {
  /** Entries at or below it were taken by retention. */
  readonly floor: Position;
  readonly rows: readonly Row[];
  readonly more: boolean;
}

/** The database. Each method is one transaction. */
export class Archive {
  readonly watermarks: Position[] = Array.from({ length: PARTITIONS }, () => BEFORE_ALL);
  readonly floors: Position[] = Array.from({ length: STREAMS }, () => BEFORE_ALL);
  readonly rows: Row[][] = Array.from({ length: STREAMS }, () => []);
  readonly collapses: Collapses = new Map();

  constructor(private readonly faults: Faults) {}

  /** Writes rows that aren't there and moves the watermark, if it is still `from`; answers whether it was. */
  store(partition: number, from: Position, through: Position, entries: readonly StreamEntry[]): boolean {
    if (this.watermarks[partition] !== from) return false;
    for (const { stream, position, push } of entries) {
      const rows = this.rows[stream]!;
      if (!this.has(stream, position)) rows.push({ position, push });
      note(this.collapses, stream, { position, push }, this.faults);
    }
    this.watermarks[partition] = through;
    return true;
  }

  /** Rows in (after, through], and the floor that they begin at. */
  read(stream: number, after: Position, through: Position, limit: number): Rows {
    const floor = this.floors[stream]!;
    const from = Math.max(after, floor);
    const rows = this.rows[stream]!.filter(({ position }) => position > from && position <= through);
    return { floor, rows: rows.slice(0, limit), more: rows.length > limit };
  }

  /** Deletes the oldest rows of a stream and moves its floor. */
  retain(stream: number, count: number): void {
    const gone = this.rows[stream]!.splice(0, count);
    for (const [place, position] of this.collapses)
      if (place.startsWith(`${stream} `) && gone.some((row) => row.position === position))
        this.collapses.delete(place);
    this.floors[stream] = gone.at(-1)?.position ?? this.floors[stream]!;
  }

  has(stream: number, position: Position): boolean {
    const rows = this.rows[stream]!;
    for (let i = rows.length - 1; i >= 0 && rows[i]!.position >= position; i -= 1) {
      if (rows[i]!.position === position) return true;
    }
    return false;
  }
}

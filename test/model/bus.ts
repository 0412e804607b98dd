import { BEFORE_ALL, type Position } from '@halley/store/streams/streams';

/** Records' offsets are this many positions apart: one for each push that a record may pack. */
export const PER_RECORD = 1_024;

/** Streams are numbered; the last has a partition of its own. */
export const STREAMS = 3;
export const PARTITIONS = 2;
export const partitionOf = (stream: number): number => (stream === STREAMS - 1 ? 1 : 0);

export const DAY_HOURS = 24;

/** One push, as produced once; a retry is another with the same id. */
export interface Push {
  readonly id: number;
  readonly sender: number;
  readonly streams: readonly number[];
  /** Only this device; undefined is all of the streams. */
  readonly only: number | undefined;
  /** Its collapse key: whoever catches up is shown the newest alone of those with the same one. */
  readonly collapse: number | undefined;
  /** Whether its body is too large for a hint. */
  readonly large: boolean;
  readonly acceptedAtHours: number;
}

/** What a partition holds at one offset: pushes of one call that touch it. */
export interface BusRecord {
  readonly pushes: readonly Push[];
}

/** What stands at a position, whoever reads it and how often. */
export interface Fact {
  readonly position: Position;
  readonly push: Push;
  /** An earlier record had the same id within a day: the append drops this one, unless it forgot the ids. */
  readonly repeat: boolean;
}

/** A produce whose answer was lost, and which the bus may take in later. */
interface Late {
  readonly partition: number;
  readonly record: BusRecord;
}

/** Whether two pushes under one id are one: by accept time, whenever they are read. */
export function sameDay(hours: number, otherHours: number): boolean {
  return Math.abs(hours - otherHours) < DAY_HOURS;
}

/** The bus: partitions of records that are never lost, and the offsets committed. */
export class Bus {
  readonly partitions: BusRecord[][] = Array.from({ length: PARTITIONS }, () => []);
  readonly committed: Position[] = Array.from({ length: PARTITIONS }, () => BEFORE_ALL);
  readonly late: Late[] = [];
  /** What each stream holds by the bus alone, in order: what invariants are checked against. */
  readonly facts: Fact[][] = Array.from({ length: STREAMS }, () => []);
  readonly #ids = Array.from({ length: PARTITIONS }, () => new Map<number, number>());

  /** Appends a record at the next offset. */
  take(partition: number, record: BusRecord): void {
    const records = this.partitions[partition]!;
    const ids = this.#ids[partition]!;
    const offset = records.push(record) - 1;
    record.pushes.forEach((push, index) => {
      const known = ids.get(push.id);
      const repeat = known !== undefined && sameDay(known, push.acceptedAtHours);
      if (!repeat) ids.set(push.id, push.acceptedAtHours);
      for (const stream of push.streams) {
        if (partitionOf(stream) !== partition) continue;
        this.facts[stream]!.push({ position: offset * PER_RECORD + index, push, repeat });
      }
    });
  }

  /** A produce that timed out gets through after all. */
  takeLate(index: number): void {
    const [late] = this.late.splice(index, 1);
    if (late) this.take(late.partition, late.record);
  }

  /** The last position that records so far cover. */
  end(partition: number): Position {
    return this.partitions[partition]!.length * PER_RECORD - 1;
  }

  factAt(stream: number, position: Position): Fact | undefined {
    return this.facts[stream]!.find((fact) => fact.position === position);
  }

  /** The newest entry of a stream that isn't a repeat. */
  newest(stream: number): Position {
    return this.facts[stream]!.findLast((fact) => !fact.repeat)?.position ?? BEFORE_ALL;
  }
}

import { HalleyError } from '@halley/protocol/error';
import type { Clock } from '@halley/service/clock';
import type { NewSchedule, PutAnswer, Schedules } from '@halley/store/schedule/schedules';

/** Rows, and their bytes, that are put in one transaction. */
const MAX_ROWS = 200;
const MAX_BYTES = 2 * 1_048_576;

interface Waiting {
  readonly row: NewSchedule;
  readonly bytes: number;
  readonly deadlineMs: number | undefined;
  readonly resolve: (answer: PutAnswer) => void;
  readonly reject: (error: HalleyError) => void;
}

/**
 * Puts schedules in the order of the calls: one transaction at a time, and what comes meanwhile together in the next. How
 * much waits is bounded by the admission of pushes.
 */
export class ScheduleWriter {
  readonly #waiting: Waiting[] = [];
  #busy = false;

  constructor(
    private readonly schedules: Pick<Schedules, 'put'>,
    private readonly clock: Pick<Clock, 'monotonicMs'>,
  ) {}

  /** `deadlineMs` (Clock.monotonicMs): later it is not begun any more. Rejects as {@link Schedules.put}. */
  put(row: NewSchedule, deadlineMs: number | undefined): Promise<PutAnswer> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ row, bytes: bytesOf(row), deadlineMs, resolve, reject });
      if (!this.#busy) void this.#run();
    });
  }

  async #run(): Promise<void> {
    this.#busy = true;
    for (let batch = this.#next(); batch; batch = this.#next()) {
      try {
        const answers = await this.schedules.put(batch.map(({ row }) => row));
        for (const [at, { resolve }] of batch.entries()) resolve(answers[at]!);
      } catch (error) {
        for (const { reject } of batch) reject(HalleyError.from(error));
      }
    }
    this.#busy = false;
  }

  #next(): Waiting[] | undefined {
    const batch: Waiting[] = [];
    let bytes = 0;
    for (let [first] = this.#waiting; first && batch.length < MAX_ROWS; [first] = this.#waiting) {
      bytes += first.bytes;
      if (batch.length > 0 && bytes > MAX_BYTES) break;
      this.#waiting.shift();
      if (first.deadlineMs !== undefined && first.deadlineMs <= this.clock.monotonicMs())
        first.reject(new HalleyError('deadline_exceeded'));
      else batch.push(first);
    }
    return batch.length > 0 ? batch : undefined;
  }
}

function bytesOf(row: NewSchedule): number {
  return row.kind === 'push'
    ? row.content.byteLength + row.body.byteLength
    : row.item.byteLength + row.opens.content.byteLength;
}

import { type ErrorCode, HalleyError } from '@halley/protocol/error';
import { Backoff } from '@halley/service/backoff';
import { type Bus, type BusRecord, RecordsTooLarge } from '@halley/store/bus/bus';

/** `too_large`: of several records, some may be; a single one is by itself. `aborted`: they may be written or not. */
export type WriteOutcome = 'written' | 'too_large' | 'aborted';

export interface WriteOptions {
  readonly signal: AbortSignal;
  /** Between repetitions, in milliseconds. */
  readonly maxBackoffMs: number;
  /** Told of each failure that is repeated. */
  readonly onFailure: (error: unknown, code: ErrorCode) => void;
}

/**
 * Writes records in order, for as long as it takes: what fails is repeated as it is, and tried once in any case. Only what the
 * bus finds too large is answered at once.
 */
export async function writeRecords(
  bus: Pick<Bus, 'produce'>,
  topic: string,
  records: readonly BusRecord[],
  { signal, maxBackoffMs, onFailure }: WriteOptions,
): Promise<WriteOutcome> {
  const backoff = new Backoff({ baseMs: 50, maxMs: maxBackoffMs });
  do {
    try {
      await bus.produce(topic, records);
      return 'written';
    } catch (error) {
      const tooLarge = RecordsTooLarge.in(error);
      // Of one that was refused together with others' nothing is known yet.
      if (tooLarge && (records.length > 1 || tooLarge.records === 1)) return 'too_large';
      onFailure(error, HalleyError.from(error).code);
      await backoff.wait(signal);
    }
  } while (!signal.aborted);
  return 'aborted';
}

import { HalleyError } from '@halley/protocol/error';
import { Backoff } from '@halley/service/backoff';
import type { Clock } from '@halley/service/clock';
import type { Logger } from '@halley/service/log';
import { type Bus, type BusRecord, type ReadRecord, RecordsTooLarge, Topic } from '@halley/store/bus/bus';

import type { JobMetrics } from '../metrics.js';
import type { BadRecord } from './push-record.js';

export interface DeadLettersDeps {
  readonly bus: Pick<Bus, 'produce'>;
  readonly metrics: JobMetrics;
  readonly clock: Clock;
  readonly log: Logger;
}

/** A value longer than this is cut, so that the letter itself is not refused for its size. */
const MAX_VALUE_BYTES = 900_000;

/** Where a record stood. */
interface Place {
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
}

/** Puts aside what can never be delivered, with where it stood and why. */
export class DeadLetters {
  constructor(private readonly deps: DeadLettersDeps) {}

  /**
   * Resolves when the letter is durable; trouble with the bus is repeated until then, or until the signal aborts, and
   * false is answered. The log is told where the record stood, never what it holds.
   */
  async write(
    { topic, partition }: { readonly topic: string; readonly partition: number },
    record: ReadRecord,
    why: BadRecord,
    signal: AbortSignal,
  ): Promise<boolean> {
    const { bus, metrics, log } = this.deps;
    const at = { topic, partition, offset: record.offset };
    let letter = this.#letter(at, record, why, true);
    const backoff = new Backoff({ baseMs: 100, maxMs: 2_000 });
    while (!signal.aborted) {
      try {
        await bus.produce(Topic.Dead, [letter]);
        metrics.deadLetters.inc({ topic, reason: why.reason });
        const keyBytes = Buffer.byteLength(record.key ?? '');
        const sizes = { keyBytes, valueBytes: record.value.byteLength };
        log.warn({ ...at, ...sizes, reason: why.reason }, 'record put aside in halley-dead');
        return true;
      } catch (error) {
        const { code } = HalleyError.from(error);
        metrics.produceFailures.inc({ topic: Topic.Dead, code });
        log.warn({ err: error, ...at }, 'dead letter not written, repeating');
        if (RecordsTooLarge.in(error)?.records === 1) letter = this.#letter(at, record, why, false);
        await backoff.wait(signal);
      }
    }
    return false;
  }

  /** `whole`: with what the record holds; otherwise only where it stood and why, for a bus that takes no more. */
  #letter(at: Place, { key = '', value, headers }: ReadRecord, why: BadRecord, whole: boolean): BusRecord {
    const kept = whole ? value.subarray(0, MAX_VALUE_BYTES) : new Uint8Array(0);
    const cut = kept.byteLength < value.byteLength;
    return {
      key: whole ? key : '',
      value: kept,
      headers: {
        ...(whole ? headers : {}),
        'halley-topic': at.topic,
        'halley-partition': String(at.partition),
        'halley-offset': String(at.offset),
        'halley-reason': why.reason,
        'halley-at-ms': String(this.deps.clock.now()),
        ...(why.detail === '' ? {} : { 'halley-error': why.detail }),
        ...(cut ? { 'halley-cut-from-bytes': String(value.byteLength) } : {}),
      },
    };
  }
}

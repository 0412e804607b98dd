import { HalleyError } from '@halley/protocol/error';
import { Backoff } from '@halley/service/backoff';
import type { Clock } from '@halley/service/clock';
import type { Logger } from '@halley/service/log';
import { type Bus, type BusRecord, type ReadRecord, Topic } from '@halley/store/bus/bus';

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

/** Puts aside what can never be delivered, with where it stood and why. */
export class DeadLetters {
  constructor(private readonly deps: DeadLettersDeps) {}

  /**
   * Resolves when the letter is durable; trouble with the bus is repeated until then, or until the signal aborts, and
   * false is answered.
   */
  async write(
    from: { readonly topic: string; readonly partition: number },
    record: ReadRecord,
    why: BadRecord,
    signal: AbortSignal,
  ): Promise<boolean> {
    const { bus, metrics, log } = this.deps;
    const letter = this.#letter(from, record, why);
    const backoff = new Backoff({ baseMs: 100, maxMs: 2_000 });
    while (!signal.aborted) {
      try {
        await bus.produce(Topic.Dead, [letter]);
        metrics.deadLetters.inc({ topic: from.topic, reason: why.reason });
        log.warn({ ...from, offset: record.offset, reason: why.reason }, 'record put aside in halley-dead');
        return true;
      } catch (error) {
        const { code } = HalleyError.from(error);
        metrics.produceFailures.inc({ topic: Topic.Dead, code });
        log.warn({ err: error, ...from, offset: record.offset }, 'dead letter not written, repeating');
        await backoff.wait(signal);
      }
    }
    return false;
  }

  #letter(
    { topic, partition }: { readonly topic: string; readonly partition: number },
    { key, value, offset, headers }: ReadRecord,
    why: BadRecord,
  ): BusRecord {
    const cut = value.byteLength > MAX_VALUE_BYTES;
    return {
      key: key ?? '',
      value: cut ? value.subarray(0, MAX_VALUE_BYTES) : value,
      headers: {
        ...headers,
        'halley-topic': topic,
        'halley-partition': String(partition),
        'halley-offset': String(offset),
        'halley-reason': why.reason,
        'halley-at-ms': String(this.deps.clock.now()),
        ...(why.cause instanceof Error ? { 'halley-error': why.cause.message.slice(0, 200) } : {}),
        ...(cut ? { 'halley-cut-from-bytes': String(value.byteLength) } : {}),
      },
    };
  }
}

import { HalleyError } from '@halley/protocol/error';
import { Backoff } from '@halley/service/backoff';
import type { Clock } from '@halley/service/clock';
import type { Logger } from '@halley/service/log';
import type { ReadBatch, ReadRecord } from '@halley/store/bus/bus';
import type { DeadLetterStore, NewDeadLetter } from '@halley/store/dead/dead';

import type { BatchWork } from '../consume/batch-consumer.js';
import type { JobMetrics } from '../metrics.js';

export interface DeadLetterKeeperDeps {
  readonly dead: Pick<DeadLetterStore, 'add'>;
  /** The bus's. */
  readonly epoch: string;
  readonly metrics: JobMetrics;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Copies halley-dead into the store of dead letters, each letter once, for as long as it takes. */
export class DeadLetterKeeper implements BatchWork {
  constructor(private readonly deps: DeadLetterKeeperDeps) {}

  async take(batch: ReadBatch, signal: AbortSignal): Promise<boolean> {
    const { dead, epoch, metrics, log } = this.deps;
    const letters = batch.records.map((read) => letterOf(batch.partition, read));
    const backoff = new Backoff({ baseMs: 100, maxMs: 5_000 });
    while (!signal.aborted) {
      try {
        await dead.add(epoch, letters);
        metrics.deadLettersKept.inc(letters.length);
        return true;
      } catch (error) {
        metrics.deadLetterFailures.inc({ code: HalleyError.from(error).code });
        log.warn({ err: error, partition: batch.partition }, 'dead letters were not kept, repeating');
        await backoff.wait(signal);
      }
    }
    return false;
  }
}

/** Headers that say of a letter what stands in fields of its own. */
const TOLD = new Set([
  'halley-topic',
  'halley-partition',
  'halley-offset',
  'halley-reason',
  'halley-at-ms',
  'halley-error',
  'halley-cut-from-bytes',
]);

/** What somebody else wrote there has no such headers; it is kept as it is. */
function letterOf(
  partition: number,
  { offset, key = '', value, headers, timestampMs }: ReadRecord,
): NewDeadLetter {
  const told = (name: string): string => headers[`halley-${name}`] ?? '';
  const cutFrom = integerOf(told('cut-from-bytes'));
  return {
    place: { partition, offset },
    atMs: integerOf(told('at-ms')) || timestampMs,
    topic: told('topic').slice(0, MAX_TOPIC),
    partition: integerOf(told('partition'), MAX_PARTITION),
    offset: integerOf(told('offset')),
    reason: told('reason').slice(0, MAX_REASON) || 'unknown',
    detail: told('error'),
    key,
    headers: Object.fromEntries(Object.entries(headers).filter(([name]) => !TOLD.has(name))),
    value,
    valueBytes: cutFrom > 0 ? cutFrom : value.byteLength,
    cut: cutFrom > 0,
  };
}

const MAX_TOPIC = 249;
const MAX_REASON = 100;
const MAX_PARTITION = 2 ** 31 - 1;

/** 0 where it is none that the store takes: nothing of a letter may stop those behind it. */
function integerOf(text: string, max = Number.MAX_SAFE_INTEGER): number {
  const number = Number(text);
  return Number.isSafeInteger(number) && number >= 0 && number <= max ? number : 0;
}

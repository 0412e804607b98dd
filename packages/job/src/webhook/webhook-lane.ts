import { Backoff } from '@halley/service/backoff';
import type { Clock } from '@halley/service/clock';
import type { Logger } from '@halley/service/log';
import type { ReadBatch, ReadRecord } from '@halley/store/bus/bus';

import type { DeadLetters } from '../consume/dead-letter.js';
import { Offsets, type TrackedRecord } from '../consume/offsets.js';
import { LaneEnded, Ownership } from '../consume/ownership.js';
import { BadRecord } from '../consume/push-record.js';
import { Wakeup } from '../wakeup.js';
import type { WebhookConfig, WebhookEndpoint } from './config.js';
import type { Gate } from './gate.js';
import type { WebhookMetrics } from './metrics.js';
import { eventOf, type WebhookEvent } from './payload.js';
import type { Post } from './poster.js';

export interface WebhookLaneDeps {
  readonly endpoint: Pick<WebhookEndpoint, 'name' | 'kinds'>;
  readonly limits: Pick<WebhookConfig, 'maxUndone' | 'baseBackoffMs' | 'maxBackoffMs' | 'maxAgeMs'>;
  readonly post: Post;
  readonly gate: Gate;
  readonly deadLetters: Pick<DeadLetters, 'write'>;
  readonly metrics: WebhookMetrics;
  readonly clock: Clock;
  readonly log: Logger;
  /** Waits so long, at most until the signal aborts. Default: a timer. */
  readonly sleep?: (ms: number, signal: AbortSignal) => Promise<void>;
}

/** Says of a record for whom alone it is: that of a dead letter that was requeued. */
const ENDPOINT_HEADER = 'webhook-endpoint';
/** An event that is refused as it is, is offered so often. */
const REFUSED_ATTEMPTS = 3;
/** An event that holds the others up is tried so often, while the endpoint takes others. */
const HELD_UP_ATTEMPTS = 10;
const MAX_UNDONE_BYTES = 16 * 1_048_576;

interface Sending {
  readonly read: ReadRecord;
  readonly event: WebhookEvent;
  readonly record: TrackedRecord;
}

/**
 * One partition's events on their way to one endpoint: those of a user one after another, those of different users beside each
 * other. One is done when the endpoint has taken it, or when it was put aside in halley-dead.
 */
export class WebhookLane {
  readonly offsets: Offsets;
  readonly #own: Ownership;
  readonly #changed = new Wakeup();
  /** Aborts when nothing more is to be sent. */
  readonly #halt = new AbortController();
  /** Requests that are not answered. */
  #posting = 0;
  /** What waits behind what is being sent, by user. */
  readonly #users = new Map<string, Sending[]>();

  constructor(
    readonly topic: string,
    readonly partition: number,
    private readonly deps: WebhookLaneDeps,
  ) {
    this.#own = new Ownership(topic, partition);
    const limits = { maxRecords: deps.limits.maxUndone, maxBytes: MAX_UNDONE_BYTES };
    this.offsets = new Offsets(limits, () => this.#changed.wake());
  }

  /** Resolves when all of the batch is on its way. Rejects when the lane ended first. */
  async take({ records }: ReadBatch): Promise<void> {
    for (const read of records) {
      // A batch that comes again is on its way, in part.
      if (read.offset <= this.offsets.last) continue;
      while (this.offsets.full && !this.#own.ended) await this.#changed.wait();
      this.#own.require();
      this.#send(read, this.offsets.open(read.offset, read.value.byteLength, read.timestampMs));
    }
  }

  /** Sends nothing more; resolves when what was sent is answered. */
  async settle(): Promise<void> {
    this.#halt.abort();
    while (this.#posting > 0 && !this.#own.ended) await this.#changed.wait();
  }

  /** Sends nothing more, and waits for no answer. */
  end(): void {
    this.#own.end();
    this.#halt.abort();
    this.#changed.wake();
  }

  /** Resolves when all that was taken is done. */
  async drained(): Promise<void> {
    while (this.offsets.undone > 0 && !this.#own.ended) await this.#changed.wait();
  }

  #send(read: ReadRecord, record: TrackedRecord): void {
    const { endpoint, metrics } = this.deps;
    const only = read.headers[ENDPOINT_HEADER] ?? endpoint.name;
    const event = only === endpoint.name ? eventOf(this.topic, read) : undefined;
    if (!event && only === endpoint.name) metrics.attempts.inc({ endpoint: only, result: 'undecodable' });
    if (!event || !endpoint.kinds.includes(event.kind)) return this.offsets.release(record);
    const behind = this.#users.get(event.lane);
    if (behind) return void behind.push({ read, event, record });
    this.#users.set(event.lane, []);
    void this.#sendAll(event.lane, { read, event, record });
  }

  async #sendAll(user: string, first: Sending): Promise<void> {
    const behind = this.#users.get(user) ?? [];
    for (let next: Sending | undefined = first; next; next = behind.shift()) {
      try {
        await this.#sendOne(next);
      } catch (error) {
        // Ended, or a fault of ours: it is not done, and another job has it again.
        if (!(error instanceof LaneEnded)) this.deps.log.error({ err: error }, 'a webhook was not sent');
        return;
      }
      this.offsets.release(next.record);
      if (this.offsets.undone === 0) this.#changed.wake();
    }
    this.#users.delete(user);
  }

  async #sendOne({ read, event }: Sending): Promise<void> {
    const { endpoint, gate, post, limits, metrics, clock, log, sleep = sleepFor } = this.deps;
    const { signal } = this.#halt;
    const backoff = new Backoff({ baseMs: limits.baseBackoffMs, maxMs: limits.maxBackoffMs });
    const { successes } = gate;
    for (let attempt = 1; ; attempt += 1) {
      if (!(await gate.enter(signal))) throw new LaneEnded(this.#own.name);
      const since = clock.monotonicMs();
      this.#posting += 1;
      const posted = await post(event, this.#own.signal).finally(() => {
        this.#posting -= 1;
        this.#changed.wake();
      });
      const ended = this.#own.ended;
      const { result } = posted;
      const retryAfterMs = posted.result === 'failed' ? (posted.retryAfterMs ?? 0) : 0;
      gate.leave(ended ? undefined : result !== 'failed', retryAfterMs);
      if (result === 'taken') return metrics.taken(endpoint.name, event.kind, since, read.timestampMs);
      this.#own.require();
      metrics.attempts.inc({ endpoint: endpoint.name, result });
      const why = 'why' in posted ? posted.why : 'status 410';
      const isOld = clock.now() - read.timestampMs > limits.maxAgeMs;
      const holdsUp = this.offsets.full && attempt >= HELD_UP_ATTEMPTS && gate.successes > successes;
      if (result === 'gone' || (result === 'refused' && attempt >= REFUSED_ATTEMPTS) || isOld || holdsUp)
        return this.#putAside(read, result === 'failed' ? (isOld ? 'late' : 'held_up') : result, why);
      if (attempt === 1)
        log.warn({ endpoint: endpoint.name, kind: event.kind, why }, 'a webhook failed, repeating');
      const waiting = new AbortController();
      const stop = (): void => waiting.abort();
      signal.addEventListener('abort', stop);
      if (signal.aborted) stop();
      const pauseMs = Math.max(backoff.nextMs(), retryAfterMs);
      await Promise.race([gate.recovered.wait(), sleep(pauseMs, waiting.signal)]);
      signal.removeEventListener('abort', stop);
      waiting.abort();
    }
  }

  async #putAside(
    read: ReadRecord,
    reason: 'gone' | 'refused' | 'late' | 'held_up',
    why: string,
  ): Promise<void> {
    const { deadLetters, endpoint, metrics } = this.deps;
    const { name } = endpoint;
    const letter = { ...read, headers: { ...read.headers, [ENDPOINT_HEADER]: name } };
    const bad = new BadRecord(`webhook_${reason}`, `${name}: ${why}`);
    await deadLetters.write(this.#own, letter, bad, this.#own.signal);
    this.#own.require();
    metrics.attempts.inc({ endpoint: name, result: 'dead' });
  }
}

function sleepFor(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal.addEventListener('abort', done);
    if (signal.aborted) done();
  });
}

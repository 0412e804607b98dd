import type { PushReply } from '@halley/cluster/grpc/gen/halley/push/v1/PushReply';
import type { PushRequest__Output } from '@halley/cluster/grpc/gen/halley/push/v1/PushRequest';
import type { PushResult } from '@halley/cluster/grpc/gen/halley/push/v1/PushResult';
import { HalleyError } from '@halley/protocol/error';
import type { Clock } from '@halley/service/clock';
import type { Exceptions } from '@halley/service/exceptions';

import type { PushAcceptor, PushOrigin } from '../push/accept.js';
import { outcomeOf, resultOf } from '../push/outcome.js';
import { readPush } from '../push/read-push.js';
import { invalid, type PushLimits, type PushMessage } from '../push/target.js';

/** Pushes of one batch. */
export const MAX_BATCH = 1_024;

export interface PushCallsDeps {
  readonly acceptor: PushAcceptor;
  readonly limits: PushLimits;
  readonly clock: Clock;
  /** Told of refusals of pushes whose caller gave an id. Default: nobody. */
  readonly exceptions?: Exceptions;
}

/** A push of a batch as it came, or why it could not even be read. */
export type BatchEntry = PushRequest__Output | { readonly id: string; readonly error: HalleyError };

/** Pushing, as it is called over gRPC and HTTP. */
export class PushCalls {
  constructor(private readonly deps: PushCallsDeps) {}

  /** Checks one push; `prefix` stands before the names of its fields. Throws as `readPush`. */
  read(request: PushRequest__Output | null | undefined, prefix: string, origin: PushOrigin): PushMessage {
    const { limits, clock } = this.deps;
    try {
      return readPush(request, limits, clock.now(), prefix);
    } catch (error) {
      this.#tellRefused(request?.id ?? '', HalleyError.from(error), origin);
      throw error;
    }
  }

  /** Takes one push. Rejects with why it was refused, or with an outcome that is unknown. */
  async push(request: PushRequest__Output, origin: PushOrigin): Promise<PushReply> {
    return this.accept(this.read(request, '', origin), origin);
  }

  /** The same of a push that was read. */
  async accept(push: PushMessage, origin: PushOrigin): Promise<PushReply> {
    let duplicate = false;
    let deliver_at_ms = 0;
    try {
      await this.deps.acceptor.accept(push, {
        ...origin,
        onDuplicate: () => (duplicate = true),
        onScheduled: (_push, deliverAtMs) => (deliver_at_ms = deliverAtMs),
      });
    } catch (error) {
      if (push.idGiven) this.#tellRefused(push.id, HalleyError.from(error), origin);
      throw error;
    }
    return { id: push.id, deliver_at_ms, duplicate };
  }

  /** Takes pushes in their order and answers each, in order. Throws `invalid_argument` for none or too many. */
  async batch(requests: readonly BatchEntry[], origin: PushOrigin): Promise<PushResult[]> {
    if (requests.length === 0) throw invalid('requests', 'is empty');
    if (requests.length > MAX_BATCH) {
      throw invalid('requests', `${requests.length} entries, more than ${MAX_BATCH}`);
    }
    const results: PushResult[] = [];
    const valid: PushMessage[] = [];
    const places: number[] = [];
    for (const [index, request] of requests.entries()) {
      try {
        if ('error' in request) throw request.error;
        valid.push(this.read(request, `requests[${index}].`, origin));
        places.push(index);
      } catch (error) {
        results[index] = resultOf(request.id, HalleyError.from(error));
      }
    }
    const duplicates = new Set<PushMessage>();
    const onDuplicate = (push: PushMessage): unknown => duplicates.add(push);
    const times = new Map<PushMessage, number>();
    const onScheduled = (push: PushMessage, deliverAtMs: number): unknown => times.set(push, deliverAtMs);
    const answers =
      valid.length > 0
        ? await this.deps.acceptor.acceptAll(valid, { ...origin, onDuplicate, onScheduled })
        : [];
    for (const [at, push] of valid.entries()) {
      const error = answers[at];
      if (error && push.idGiven) this.#tellRefused(push.id, error, origin);
      results[places[at] ?? 0] = error
        ? resultOf(push.id, error)
        : {
            id: push.id,
            outcome: 'OUTCOME_OK',
            deliver_at_ms: times.get(push) ?? 0,
            duplicate: duplicates.has(push),
          };
    }
    return results;
  }

  #tellRefused(id: string, error: HalleyError, { caller }: PushOrigin): void {
    if (id === '' || outcomeOf(error) !== 'refused') return;
    this.deps.exceptions?.tell({ id, caller, kind: 'refused', reason: error.code });
  }
}

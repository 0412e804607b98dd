import { unary } from '@halley/cluster/grpc/handler';
import type { DeadLetterServiceHandlers } from '@halley/cluster/grpc/gen/halley/push/v1/DeadLetterService';

import type { DeadLetters } from '../dead/dead-letters.js';
import { resultOf } from '../push/outcome.js';
import { headOf } from './dead-letter-head.js';

export interface DeadLetterGrpcDeps {
  readonly deadLetters: DeadLetters;
}

/** halley.push.v1.DeadLetterService. */
export function deadLetterGrpc({ deadLetters }: DeadLetterGrpcDeps): DeadLetterServiceHandlers {
  return {
    ListDeadLetters: unary(async ({ limit, before, topic, reason }) => {
      const { letters, more } = await deadLetters.list({ limit, before, topic, reason });
      return { letters: letters.map(headOf), more };
    }),
    GetDeadLetter: unary(async ({ id }) => {
      const letter = await deadLetters.get(id);
      const { key, headers, value } = letter;
      return { ...headOf(letter), key, headers: { ...headers }, value: Buffer.from(value) };
    }),
    RequeueDeadLetters: unary(async ({ ids, force }) => {
      const answers = await deadLetters.requeue(ids, force);
      return {
        results: answers.map(({ id, error }) => {
          const { outcome = 'OUTCOME_OK', code = '', message = '' } = resultOf(id, error);
          return { id, outcome, code, message };
        }),
      };
    }),
  };
}

import { redisMessage } from './client.js';

/**
 * What one attempt to write says about the records. `written` may still lack replicas. `full`: the partition keeps as much
 * as it may. `lost`: what the bus held is gone. `rejected`: Redis answered without running the script, or it never left.
 * `ambiguous`: anything else; they may be written.
 */
export type RedisAttempt =
  | { readonly kind: 'written'; readonly base: number; readonly replicas: number }
  | { readonly kind: 'full' | 'lost' }
  | { readonly kind: 'rejected' | 'ambiguous'; readonly cause: unknown };

/**
 * Errors with which Redis answers in place of running a script, or of its first write: out of memory, a replica, too few
 * replicas, no disk for the append-only file, starting, no such slot now, not allowed.
 */
const NOT_RUN =
  /^(?:.*\b)?(?:OOM|READONLY|NOREPLICAS|MISCONF|LOADING|MASTERDOWN|CLUSTERDOWN|TRYAGAIN|BUSY|NOAUTH|WRONGPASS|NOPERM|NOSCRIPT)\b/;

/** What the client says when a command never left. */
const NOT_SENT =
  /Stream isn't writeable|Cluster isn't ready|None of startup nodes|All sentinels are unreachable/;

/** Reads the error of an attempt. */
export function readFailure(error: unknown): RedisAttempt {
  const message = redisMessage(error);
  const definite = NOT_RUN.test(message) || NOT_SENT.test(message);
  return { kind: definite ? 'rejected' : 'ambiguous', cause: error };
}

/** Whether an attempt was rejected as Redis has no memory left. */
export function isOutOfMemory(cause: unknown): boolean {
  return /\bOOM\b/.test(redisMessage(cause));
}

/** Reads what produce.lua answered, and how many replicas had it. `stale` is an answer that nobody waits for. */
export function readAnswer(answer: unknown, replicas: number): RedisAttempt {
  const [kind, base] = answer as [string, string?];
  switch (kind) {
    case 'written':
      return { kind, base: Number(base), replicas };
    case 'full':
    case 'lost':
      return { kind };
    default:
      return { kind: 'ambiguous', cause: new Error(`Redis answered ${kind}`) };
  }
}

import type { StreamEntry } from './streams.js';

/** Why an entry is shown no more: its expiry has passed, or it has been kept as long as it was to be. */
export type Ending = 'expired' | 'retention';

/** Whether an entry is over at `nowMs`, Unix milliseconds, and why; undefined while it is shown. */
export function endingOf(
  {
    expireAtMs,
    acceptedAtMs,
    retentionMs = 0,
  }: Pick<StreamEntry, 'expireAtMs' | 'acceptedAtMs' | 'retentionMs'>,
  nowMs: number,
): Ending | undefined {
  if (expireAtMs > 0 && expireAtMs <= nowMs) return 'expired';
  if (retentionMs > 0 && acceptedAtMs + retentionMs <= nowMs) return 'retention';
  return undefined;
}

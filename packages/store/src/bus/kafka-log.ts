import { logLevel, type logCreator } from 'kafkajs';
import type { Logger } from '@halley/service/log';

/**
 * What brokers answer while they start, elect a leader or move a group, and to the second of two tiers that create a
 * topic, in the words of the client. It passes by itself: whoever asked repeats it, and what does not pass shows in
 * readiness and in the errors of what is being waited for.
 */
const PASSING = [
  'The coordinator is loading',
  'The group coordinator is not available',
  'This is not the correct coordinator for this group',
  'The group is rebalancing',
  'There is no leader for this topic-partition',
  'This server is not the leader for that topic-partition',
  'This server does not host this topic-partition',
  // Of what could not be created the caller tells each reason.
  'Topic creation errors',
] as const;

/** So many ends of a consumer in a row are taken for passing. */
const QUIET_ENDS = 3;

/** How loud the end of a consumer is, the `ends`-th since it joined its group: what passes by itself is said when it stays. */
export function levelOfEnd(error: unknown, ends: number): 'debug' | 'warn' {
  return ends <= QUIET_ENDS && error instanceof Error && passes(error.message) ? 'debug' : 'warn';
}

/** The client's log, without what it attaches: that can hold keys and bodies. What passes by itself is for debugging. */
export function forwardTo(log: Logger): logCreator {
  return () =>
    ({ level, log: { message, error }, namespace }) => {
      const passing = passes(message) || (typeof error === 'string' && passes(error));
      if (level <= logLevel.ERROR && !passing) log.warn({ kafka: namespace }, message);
      else log.debug({ kafka: namespace }, message);
    };
}

function passes(text: string): boolean {
  return PASSING.some((words) => text.includes(words));
}

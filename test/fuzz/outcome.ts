import type { Frame } from '@halley/protocol/frame';

/** What an input gives: its frames, and the fault that ended them. */
export interface Outcome {
  readonly frames: readonly Frame[];
  readonly fault: string | undefined;
}

/** Whether two ways of reading an input gave the same. */
export function sameOutcome(a: Outcome, b: Outcome): boolean {
  return (
    a.fault === b.fault &&
    a.frames.length === b.frames.length &&
    a.frames.every((frame, i) => sameFrame(frame, b.frames[i] as Frame))
  );
}

function sameFrame(a: Frame, b: Frame): boolean {
  return (
    a.ver === b.ver &&
    a.op === b.op &&
    a.seq === b.seq &&
    a.flags === b.flags &&
    Buffer.compare(a.body, b.body) === 0
  );
}

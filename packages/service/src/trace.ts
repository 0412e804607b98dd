import { randomFillSync } from 'node:crypto';

const TRACEPARENT = /^[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}$/;

/** Random bytes for many traces, asked for at once: a call for each costs as much as the rest of a small push. */
const random = Buffer.allocUnsafeSlow(24 * 256);
let used = random.length;

/** A fresh, sampled `traceparent`. */
export function newTrace(): string {
  if (used === random.length) {
    randomFillSync(random);
    used = 0;
  }
  const [trace, span] = [used + 16, used + 24];
  const told = `00-${random.toString('hex', used, trace)}-${random.toString('hex', trace, span)}-01`;
  used = span;
  return told;
}

/** What came in from outside, when it is a valid `traceparent`. */
export function parseTrace(text: string | undefined): string | undefined {
  return text !== undefined && text.length === 55 && TRACEPARENT.test(text) ? text : undefined;
}

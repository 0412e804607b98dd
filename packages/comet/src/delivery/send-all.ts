import { createRequire } from 'node:module';

/**
 * Writes to the members of `slots` from `from` up to `to` what `messages` has for the state of their
 * connection. `counts` says how many got each message whole; `left` has the pairs of who did not: an index into `slots`, and
 * how many bytes went. Answers how many pairs these are.
 */
export type SendAll = (
  slots: Int32Array,
  from: number,
  to: number,
  descriptors: Int32Array,
  states: Uint8Array,
  messages: readonly (Uint8Array | undefined)[],
  counts: Int32Array,
  left: Int32Array,
) => number;

/**
 * Writes `messages[which[i]]` to the connection of `slots[i]`, for each i below `count`. `left` has the pairs of who did not get
 * all: i, and how many bytes went. Answers how many pairs these are.
 */
export type SendEach = (
  slots: Int32Array,
  which: Int32Array,
  count: number,
  descriptors: Int32Array,
  messages: readonly Uint8Array[],
  left: Int32Array,
) => number;

/** What packages/comet/native/send.c has. */
export interface NativeSends {
  readonly sendAll: SendAll;
  readonly sendEach: SendEach;
  /** Has malloc give free memory back to the system; false where it cannot, or has none. */
  readonly giveBack: () => boolean;
}

/** The send loops of this node, or why it has none. */
export type NativeSend = NativeSends | { readonly missing: string };

const BUILT = '../../native/build/send.node';

/** Loads the native send loop, unless HALLEY_NATIVE is `off`. */
export function loadNativeSend(env: NodeJS.ProcessEnv = process.env): NativeSend {
  if (env['HALLEY_NATIVE'] === 'off') return { missing: 'HALLEY_NATIVE=off' };
  try {
    return createRequire(import.meta.url)(BUILT) as NativeSends;
  } catch {
    return { missing: 'it was not built: npm ci does where there is a C compiler' };
  }
}

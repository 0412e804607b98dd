import type { CancelAnswer, Outcome } from '../check/log.js';

/** Where a push goes. */
export type Target = { readonly mid: bigint } | { readonly room: Room } | { readonly everyone: true };

/** A room in the two parts that goim's API names. */
export interface Room {
  readonly type: string;
  readonly room: string;
}

export interface Push {
  readonly target: Target;
  readonly operation: number;
  readonly body: string;
  /** Kept when the push is repeated; goim's API has none. */
  readonly id: string;
  /** Only for who takes ids. */
  readonly options?: PushOptions;
}

/** Those of `halley.push.v1.PushRequest`. Times are Unix milliseconds. */
export interface PushOptions {
  readonly deliver_at_ms?: number;
  readonly delay_ms?: number;
  readonly expire_at_ms?: number;
  readonly collapse_key?: string;
  readonly priority?: 'PRIORITY_BULK';
}

/** What a logic said, or that none was there to be asked: then nothing was sent. */
export interface Answer {
  readonly outcome: Outcome | 'unreached';
  /** Empty when OK. */
  readonly why: string;
}

/** Pushes to one logic, as a business service does. */
export interface Pusher {
  /** As `grpc 127.0.0.1:3119`. */
  readonly name: string;
  /** Whether a push can be repeated with its id, and have options. */
  readonly takesIds: boolean;
  /** Never rejects. */
  push(push: Push, timeoutMs: number): Promise<Answer>;
  /** Takes back what waits for its time. Never rejects. */
  cancel?(id: string, timeoutMs: number): Promise<CancelAnswer>;
  close(): void;
}

export const OK: Answer = { outcome: 'ok', why: '' };

/** Whom one push is for. */
export type SendTarget =
  | { readonly kind: 'room'; /** As `bench://3`. */ readonly room: string }
  | {
      readonly kind: 'user';
      readonly mid: number;
      /** Of the user's connection, for who pushes straight to comet. */
      readonly key: string;
      /** The connection's index: tells which comet has it. */
      readonly connection: number;
    };

export interface Outgoing {
  readonly target: SendTarget;
  readonly body: Buffer;
}

/** What became of one push. `unknown` may still be delivered. */
export type SendOutcome = 'ok' | 'refused' | 'unknown';

/** Answers to the pushes of one call, in their order. */
export interface SendReply {
  readonly outcomes: readonly SendOutcome[];
  /** Of the first that is not ok. */
  readonly why: string;
}

/** A way for pushes into the server. */
export interface Sender {
  /** In words, as `goim's HTTP API at 127.0.0.1:3111`. */
  readonly name: string;
  /** Pushes in one call, at most. */
  readonly maxBatch: number;
  /** Never rejects. Pushes of one call keep their order; those of two calls under way at once may not. */
  send(batch: readonly Outgoing[]): Promise<SendReply>;
  close(): void;
}

/** All of one call with one outcome. */
export function sameForAll(batch: readonly Outgoing[], outcome: SendOutcome, why: string): SendReply {
  return { outcomes: batch.map(() => outcome), why };
}

import protobuf from 'protobufjs';

import { PROTO_DIR } from './grpc-services.js';
import type { Outgoing } from './sender.js';

/** The numbers of `halley.push.v1.Outcome`. */
export const OUTCOME = { ok: 1, refused: 2 };

/** An answer to one push of a batch. */
export interface PushResult {
  readonly outcome: number;
  readonly message: string;
}

/** The messages of `halley.push.v1` as bytes. */
export interface PushMessages {
  push(push: Outgoing): Buffer;
  batch(pushes: readonly Outgoing[]): Buffer;
  results(reply: Uint8Array): readonly PushResult[];
}

/**
 * Encodes pushes as plainly as the library can: a load of thousands a second must not take more of the machine than what it
 * measures, and the encoders that a service definition comes with make an object of a class of each message first.
 */
export function pushMessages(operation: number): PushMessages {
  const root = new protobuf.Root();
  root.resolvePath = (_from, file) => `${PROTO_DIR}/${file}`;
  root.loadSync('halley/push/v1/push.proto', { keepCase: true });
  const [one, many, reply] = ['PushRequest', 'PushBatchRequest', 'PushBatchReply'].map((name) =>
    root.lookupType(`halley.push.v1.${name}`),
  ) as [protobuf.Type, protobuf.Type, protobuf.Type];
  const requestOf = ({ target, body }: Outgoing): object => ({
    target: target.kind === 'user' ? { users: { mids: [target.mid] } } : { room: target.room },
    operation,
    body,
  });
  return {
    push: (push) => one.encode(requestOf(push)).finish() as Buffer,
    batch: (pushes) => many.encode({ requests: pushes.map(requestOf) }).finish() as Buffer,
    results: (bytes) => (reply.decode(bytes) as unknown as { results: PushResult[] }).results,
  };
}

import type { Sender__Output } from '@halley/cluster/grpc/gen/halley/delivery/v1/Sender';
import type { UserId } from '@halley/protocol/ids';

import type { Sender } from '../delivery/outgoing.js';

/** The client that sent a message; undefined when the business did. */
export function senderOf(sender: Sender__Output | null): Sender | undefined {
  if (!sender) return undefined;
  const { mid, key, client_id: clientId, to_mid } = sender;
  return { mid: mid as UserId, key, clientId, toMid: to_mid as UserId };
}

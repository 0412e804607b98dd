/** Operations of the frame. Requests of a client and their replies come in pairs; unlisted ones go to the business. */
export const Operation = {
  Heartbeat: 2,
  HeartbeatReply: 3,
  /** A message for the business; the reply has the same operation and an empty body. */
  Business: 4,
  Disconnect: 6,
  Auth: 7,
  AuthReply: 8,
  /** The body is whole frames, glued. Only the server sends it, on WebSocket. */
  Raw: 9,
  ChangeRoom: 12,
  ChangeRoomReply: 13,
  Subscribe: 14,
  SubscribeReply: 15,
  Unsubscribe: 16,
  UnsubscribeReply: 17,
} as const;

/**
 * Operations of version 2, and never sent to who did not ask for it; docs/protocol/ver2.md. To a client of version 1 they
 * are pushes and messages for the business like any other. `bodies` in client/bodies.ts says what each carries.
 */
export const OperationV2 = {
  Send: 18,
  SendReply: 19,
  Deliver: 20,
  Ack: 21,
  Rooms: 24,
  RoomsReply: 25,
  History: 26,
  HistoryReply: 27,
  Move: 29,
  Close: 30,
  Receipts: 31,
  Ephemeral: 32,
  Presence: 33,
  PresenceChanges: 34,
  Token: 37,
  TokenReply: 38,
  Error: 39,
} as const;

/** In version 2 the operations from 18 to this one are the protocol's; the business has those above, and 4. */
export const LAST_PROTOCOL_OPERATION = 63;

/** Whether an operation of a version 2 client is the protocol's own, known or not. */
export function isProtocolOperation(op: number): boolean {
  return op >= OperationV2.Send && op <= LAST_PROTOCOL_OPERATION;
}

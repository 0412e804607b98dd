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

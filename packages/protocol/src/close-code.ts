/**
 * WebSocket close codes of Halley. 3000–3499: reconnect (with backoff); 3500–3999: do not, it would end the same way.
 * TCP has no close frame: the connection just ends. `docs/protocol/close-codes.md` says the same in prose.
 */
export const CloseCode = {
  /** The node drains for a restart or scale-down: connect to another. */
  Draining: 3000,
  /** A fault of ours; nothing is wrong with the client. */
  InternalError: 3001,
  /** logic, the route store or the bus could not be reached. */
  Unavailable: 3002,
  /** No auth within `session.handshakeTimeoutMs`, or more than `session.maxEarlyBytes` ahead of it. */
  HandshakeTimeout: 3003,
  /** No heartbeat within the heartbeat interval × heartbeatMax. */
  HeartbeatTimeout: 3004,
  /** The comet paused for longer than its leases. */
  LeaseLost: 3005,
  /** The node, the address or the user has as many connections as the configuration allows. */
  TooManyConnections: 3006,
  /** A business service closed the connection. */
  Kicked: 3007,
  /** The client reads nothing for `session.frozenTimeoutMs`, or has no stream to catch up from and its outbox is full. */
  Slow: 3008,
  /** The token has expired. */
  TokenExpired: 3009,
  /** A frame's checksum does not hold: its bytes changed on the way. */
  CorruptFrame: 3010,
  /** The token is no valid one. */
  BadToken: 3500,
  /** The frame is malformed: a bad length or header. */
  BadFrame: 3501,
  /** The frame is larger than the limit. */
  FrameTooLarge: 3502,
  /** The same key connected again: this connection was taken over. */
  TakenOver: 3503,
  /** The key belongs to another user's live connection. */
  KeyInUse: 3504,
  /** The token does not grant the room. */
  RoomNotGranted: 3505,
} as const;

export type CloseCode = (typeof CloseCode)[keyof typeof CloseCode];

/** Whether a client that was closed with this code should connect again. */
export function shouldReconnect(code: number): boolean {
  return code < 3500 || code > 3999;
}

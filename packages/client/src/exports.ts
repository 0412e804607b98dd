// What both entries, browser.ts and node.ts, give.
export type { Client } from './client.js';
export { ClientError } from './client-error.js';
export { weightedNodes } from './connection/weighted-nodes.js';
export type { ConnectionState } from './connection/state.js';
export type { ClientEvents, Sent } from './events.js';
export type { HistoryQuery } from './history/history.js';
export type { ClientOptions } from './options.js';
export type { JoinedRoom } from './rooms/rooms.js';
export type { Outgoing } from './send/outgoing.js';
export { memoryStore } from './stores/memory.js';
export type { CursorStore } from './stores/store.js';
export type { StreamGap } from './streams/continue.js';
export type { StreamMessage } from './streams/message.js';
export type { TransportName } from './transport/transport.js';

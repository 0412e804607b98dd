import { Operation, OperationV2 } from '../operation.js';
import { bool, bytes, int32, int53, many, maybe, Message, one, text, userId, type Read } from './message.js';

// The tables of protos/halley/client/v1, where each field is explained; a test compares them.

/** One message of a stream. */
export const Entry = new Message('Entry', {
  position: one(1, int53),
  id: one(2, text),
  operation: one(3, int32),
  body: one(4, bytes),
  acceptedAtMs: one(5, int53),
  expireAtMs: one(6, int53),
  fromMid: one(7, userId),
  fromKey: one(8, text),
  clientId: one(9, text),
  toMid: one(10, userId),
  traceparent: one(11, text),
});
export type Entry = Read<typeof Entry>;

/** Why something is missing. */
export const GapReason = { Unspecified: 0, Retention: 1, Epoch: 2 } as const;

/** Positions in (after, through] will not come. */
export const Gap = new Message('Gap', {
  reason: one(1, int32),
  after: one(2, int53),
  through: one(3, int53),
});
export type Gap = Read<typeof Gap>;

/** 20, server: the next messages of one stream; the same bytes for everyone at the same place in it. */
export const Deliver = new Message('Deliver', {
  stream: one(1, text),
  epoch: one(2, text),
  after: one(3, int53),
  entries: many(4, Entry),
  through: one(5, int53),
  gap: maybe(6, Gap),
  more: one(7, bool),
});
export type Deliver = Read<typeof Deliver>;

/** How far a stream was seen. */
export const Cursor = new Message('Cursor', {
  stream: one(1, text),
  epoch: one(2, text),
  position: one(3, int53),
});
export type Cursor = Read<typeof Cursor>;

/** 21, client: cumulative, never answered. */
export const Ack = new Message('Ack', { cursors: many(1, Cursor) });
export type Ack = Read<typeof Ack>;

/** Up to where a user has read a stream. */
export const ReadPosition = new Message('ReadPosition', {
  stream: one(1, text),
  epoch: one(2, text),
  position: one(3, int53),
  unread: maybe(4, int32),
  mid: one(5, userId),
  atMs: one(6, int53),
});
export type ReadPosition = Read<typeof ReadPosition>;

/** 31, both ways. */
export const Receipts = new Message('Receipts', { positions: many(1, ReadPosition) });
export type Receipts = Read<typeof Receipts>;

/** The order of a page of history. */
export const HistoryOrder = { Unspecified: 0, NewestFirst: 1, OldestFirst: 2 } as const;

/** 26, client. */
export const HistoryRequest = new Message('HistoryRequest', {
  stream: one(1, text),
  order: one(2, int32),
  after: maybe(3, int53),
  before: maybe(4, int53),
  epoch: one(5, text),
  fromMs: one(6, int53),
  toMs: one(7, int53),
  limit: one(8, int32),
});
export type HistoryRequest = Read<typeof HistoryRequest>;

/** 27, server. */
export const HistoryReply = new Message('HistoryReply', {
  epoch: one(1, text),
  entries: many(2, Entry),
  more: one(3, bool),
});
export type HistoryReply = Read<typeof HistoryReply>;

/** 18, client. */
export const SendRequest = new Message('SendRequest', {
  clientId: one(1, text),
  room: one(2, text),
  toMid: one(3, userId),
  operation: one(4, int32),
  body: one(5, bytes),
  expireAtMs: one(6, int53),
  traceparent: one(7, text),
});
export type SendRequest = Read<typeof SendRequest>;

/** 19, server: durable. */
export const SendReply = new Message('SendReply', {
  id: one(1, text),
  stream: one(2, text),
  epoch: one(3, text),
  position: maybe(4, int53),
  acceptedAtMs: one(5, int53),
  duplicate: one(6, bool),
});
export type SendReply = Read<typeof SendReply>;

/** 32, both ways. */
export const Ephemeral = new Message('Ephemeral', {
  room: one(1, text),
  toMid: one(2, userId),
  operation: one(3, int32),
  body: one(4, bytes),
  ttlMs: one(5, int32),
  fromMid: one(6, userId),
  fromKey: one(7, text),
});
export type Ephemeral = Read<typeof Ephemeral>;

/** What an error says of its request. */
export const Outcome = { Unspecified: 0, Refused: 1, Unknown: 2 } as const;

/** 39, server. Named so because `Error` is JavaScript's. */
export const ErrorBody = new Message('Error', {
  code: one(1, text),
  text: one(2, text),
  temporary: one(3, bool),
  retryAfterMs: one(4, int53),
  outcome: one(5, int32),
});
export type ErrorBody = Read<typeof ErrorBody>;

/** Where to begin in a stream without a cursor. */
export const Start = { Unspecified: 0, Oldest: 1, Newest: 2 } as const;

/** A room to be in. */
export const RoomJoin = new Message('RoomJoin', {
  room: one(1, text),
  epoch: one(2, text),
  position: maybe(3, int53),
  start: one(4, int32),
});
export type RoomJoin = Read<typeof RoomJoin>;

/** 24, client. */
export const RoomsRequest = new Message('RoomsRequest', { join: many(1, RoomJoin), leave: many(2, text) });
export type RoomsRequest = Read<typeof RoomsRequest>;

/** What became of one room of the request. */
export const RoomAnswer = new Message('RoomAnswer', {
  room: one(1, text),
  error: maybe(2, ErrorBody),
  durable: one(3, bool),
  epoch: one(4, text),
  position: one(5, int53),
  read: maybe(6, ReadPosition),
});
export type RoomAnswer = Read<typeof RoomAnswer>;

/** 25, server. */
export const RoomsReply = new Message('RoomsReply', { answers: many(1, RoomAnswer) });
export type RoomsReply = Read<typeof RoomsReply>;

/** 8, server. */
export const AuthReply = new Message('AuthReply', {
  mid: one(1, userId),
  key: one(2, text),
  heartbeatMs: one(3, int53),
  tokenExpiresAtMs: one(4, int53),
  inbox: maybe(5, Cursor),
  read: maybe(6, ReadPosition),
  maxClientBodyBytes: one(7, int32),
  maxServerBodyBytes: one(8, int32),
  windowEntries: one(9, int32),
  windowBytes: one(10, int32),
  maxRooms: one(11, int32),
  maxWatched: one(12, int32),
  deflate: one(13, bool),
  checksum: one(14, bool),
  nowMs: one(15, int53),
  room: one(16, text),
});
export type AuthReply = Read<typeof AuthReply>;

/** 37, client. */
export const TokenRequest = new Message('TokenRequest', { token: one(1, text) });
export type TokenRequest = Read<typeof TokenRequest>;

/** 38, server. */
export const TokenReply = new Message('TokenReply', {
  tokenExpiresAtMs: one(1, int53),
  leftRooms: many(2, text),
});
export type TokenReply = Read<typeof TokenReply>;

/** 29, server. */
export const Move = new Message('Move', {
  nodes: many(1, text),
  delayMs: one(2, int53),
  closesInMs: one(3, int53),
});
export type Move = Read<typeof Move>;

/** 30, server: the last frame. */
export const Close = new Message('Close', {
  code: one(1, int32),
  text: one(2, text),
  reconnect: one(3, bool),
  reconnectAfterMs: one(4, int53),
});
export type Close = Read<typeof Close>;

/** 33, client. */
export const PresenceRequest = new Message('PresenceRequest', {
  watch: many(1, userId),
  unwatch: many(2, userId),
  replace: one(3, bool),
});
export type PresenceRequest = Read<typeof PresenceRequest>;

/** How one user is. */
export const Presence = new Message('Presence', {
  mid: one(1, userId),
  online: one(2, bool),
  platforms: many(3, text),
  lastSeenMs: one(4, int53),
});
export type Presence = Read<typeof Presence>;

/** 34, server. */
export const PresenceChanges = new Message('PresenceChanges', { users: many(1, Presence) });
export type PresenceChanges = Read<typeof PresenceChanges>;

/** What each operation of version 2 carries. Those of goim carry what they always did, but 8. */
// In a function without effects, so that bundles that don't use the table leave it out.
export const BODIES = /* @__PURE__ */ (() =>
  ({
    [Operation.AuthReply]: AuthReply,
    [OperationV2.Send]: SendRequest,
    [OperationV2.SendReply]: SendReply,
    [OperationV2.Deliver]: Deliver,
    [OperationV2.Ack]: Ack,
    [OperationV2.Rooms]: RoomsRequest,
    [OperationV2.RoomsReply]: RoomsReply,
    [OperationV2.History]: HistoryRequest,
    [OperationV2.HistoryReply]: HistoryReply,
    [OperationV2.Move]: Move,
    [OperationV2.Close]: Close,
    [OperationV2.Receipts]: Receipts,
    [OperationV2.Ephemeral]: Ephemeral,
    [OperationV2.Presence]: PresenceRequest,
    [OperationV2.PresenceChanges]: PresenceChanges,
    [OperationV2.Token]: TokenRequest,
    [OperationV2.TokenReply]: TokenReply,
    [OperationV2.Error]: ErrorBody,
  }) as const)();

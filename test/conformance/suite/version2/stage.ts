import { createHmac } from 'node:crypto';

import { afterEach, expect } from '@jest/globals';

import type { AuthWishes } from '@halley/protocol/client/auth';
import {
  type ErrorBody,
  Ephemeral,
  HistoryReply,
  HistoryRequest,
  Outcome,
  PresenceChanges,
  PresenceRequest,
  Receipts,
  SendReply,
  SendRequest,
  TokenReply,
  TokenRequest,
} from '@halley/protocol/client/bodies';
import type { UserId } from '@halley/protocol/ids';
import { OperationV2 } from '@halley/protocol/operation';

import { type GoimClient, json, type Transport } from '../../../harness/goim-client.js';
import type { TargetTraits } from '../../../harness/target.js';
import { newKey, newMid, newRoom, type Room } from '../../../harness/unique.js';
import { textOf, Version2Client } from '../../../harness/version2/client.js';
import { eventually } from '../../../harness/within.js';
import type { Stage } from '../stage.js';

export { textOf };

/** Requests and replies: the operation and its message. */
export const SEND = [OperationV2.Send, SendRequest] as const;
export const SENT = [OperationV2.SendReply, SendReply] as const;
export const HISTORY = [OperationV2.History, HistoryRequest] as const;
export const PAGE = [OperationV2.HistoryReply, HistoryReply] as const;
export const RECEIPTS = [OperationV2.Receipts, Receipts] as const;
export const EPHEMERAL = [OperationV2.Ephemeral, Ephemeral] as const;
export const WATCH = [OperationV2.Presence, PresenceRequest] as const;
export const PRESENCE = [OperationV2.PresenceChanges, PresenceChanges] as const;
export const TOKEN = [OperationV2.Token, TokenRequest] as const;
export const RENEWED = [OperationV2.TokenReply, TokenReply] as const;

/** Clients of version 2 beside the stage of version 1, which pushes; they are closed after each test, and judged. */
export class Version2Stage {
  #clients: Version2Client[] = [];

  constructor(
    readonly goim: Stage,
    readonly traits: TargetTraits,
  ) {
    afterEach(() => {
      const clients = this.#clients;
      this.#clients = [];
      for (const client of clients) client.close();
      expect(clients.flatMap(({ breaches }) => breaches)).toEqual([]);
    });
  }

  /** A token with these fields; a JSON Web Token grants everything unless its claims say otherwise. */
  token(fields: Readonly<Record<string, unknown>>): string {
    return tokenOf(fields, this.traits.jwtSecret);
  }

  async connect(transport: Transport): Promise<Version2Client> {
    const client = await Version2Client.connect(transport, this.goim.target);
    this.#clients.push(client);
    return client;
  }

  /** Connected and authenticated with version 2. */
  async open(
    transport: Transport,
    fields: Readonly<Record<string, unknown>>,
    wishes?: AuthWishes,
  ): Promise<Version2Client> {
    return (await this.connect(transport)).open(this.token(fields), wishes);
  }

  /** A connection of version 1. */
  async openGoim(transport: Transport, fields: Readonly<Record<string, unknown>>): Promise<GoimClient> {
    return this.goim.open(transport, this.token(fields));
  }

  /** A new user's connection that accepts the operation. */
  async user(transport: Transport, op: number, wishes?: AuthWishes): Promise<User> {
    const [mid, key] = [newMid(), newKey()];
    const client = await this.open(transport, { mid, key, accepts: [op] }, wishes);
    return { client, mid, key, stream: inboxOf(mid) };
  }

  /** Waits until it is so: for what the server does on its own, a moment later. */
  async eventually(isSo: () => Promise<boolean>): Promise<void> {
    expect(await eventually(isSo, Boolean)).toBe(true);
  }

  /** A room that the server keeps. */
  durableRoom(): Room {
    return newRoom(this.traits.durableType);
  }
}

/** A user with one connection. */
export interface User {
  readonly client: Version2Client;
  readonly mid: bigint;
  readonly key: string;
  readonly stream: string;
}

export function inboxOf(mid: bigint): string {
  return `u/${mid}`;
}

/** A user as messages have it. */
export function idOf(mid: bigint): UserId {
  return String(mid) as UserId;
}

/** That it was refused with this code, for good or not. */
export function expectRefused({ code, text, temporary, outcome }: ErrorBody, wanted: string): void {
  expect({ code, temporary, outcome }).toEqual({ code: wanted, temporary: false, outcome: Outcome.Refused });
  expect(text).not.toBe('');
}

/** What a user's client sends when nothing of it matters. */
export function message(fields: { room: string } | { toMid: UserId }, body: string, operation = 1_000) {
  return { clientId: newKey(), operation, body: Buffer.from(body), ...fields };
}

/** A token with these fields: goim's plain one without a secret, else a JSON Web Token that grants everything it does not say. */
export function tokenOf(fields: Readonly<Record<string, unknown>>, jwtSecret: string): string {
  if (jwtSecret === '') return json(fields);
  return jwt({ rooms: ['*'], publish: ['*'], send_users: true, mid: 0, ...fields }, jwtSecret);
}

/** A JSON Web Token (HS256). */
export function jwt(claims: Readonly<Record<string, unknown>>, secret: string): string {
  const parts = [json({ alg: 'HS256', typ: 'JWT' }), json(claims)];
  const signed = parts.map((part) => Buffer.from(part).toString('base64url')).join('.');
  return `${signed}.${createHmac('sha256', secret).update(signed).digest('base64url')}`;
}

import { eventCodec } from '@halley/cluster/grpc/event-codec';
import type { Event__Output } from '@halley/cluster/grpc/gen/halley/push/v1/Event';
import { codec, protos } from '@halley/cluster/grpc/protos';
import { type ReadRecord, Topic } from '@halley/store/bus/bus';
import { EVENT_KINDS } from '@halley/store/events/config';
import { createHash } from 'node:crypto';

import type { WebhookKind } from './config.js';

const upstreamCodec = codec(protos.halley.push.v1.Upstream);

/** An event as it is posted. */
export interface WebhookEvent {
  /** To dedupe by. */
  readonly id: string;
  readonly kind: WebhookKind;
  /** Whose it is: events of one are sent one after another. */
  readonly lane: string;
  /** JSON, the same for each attempt; made when it is sent. */
  body(): string;
}

/** The event that a record holds; undefined when it holds none, or one of a kind that is not known here. */
export function eventOf(topic: string, record: ReadRecord): WebhookEvent | undefined {
  try {
    return topic === Topic.Receive ? upstreamOf(record) : told(record);
  } catch {
    return undefined;
  }
}

function told({ value }: ReadRecord): WebhookEvent | undefined {
  const decoded = eventCodec.decode(value);
  const { id, mid, key } = decoded;
  const kind = kindOf(decoded);
  if (!kind || id === '') return undefined;
  const body = (): string => {
    const event = eventCodec.decode(value);
    return bodyOf(id, kind, event.at_ms, { mid, ...(key !== '' && { key }), ...dataOf(event, kind) });
  };
  return { id: headerOf(id), kind, lane: laneOf(mid, key), body };
}

function kindOf(event: Event__Output): WebhookKind | undefined {
  return EVENT_KINDS.find((kind) => kind === event.kind);
}

/** Numbers stand as numbers, ids of users as text: not every JSON reader takes 64 bits. */
function dataOf(event: Event__Output, kind: WebhookKind): object {
  const { connected, disconnected, message_in: message, delivered, read, offline } = event;
  switch (kind) {
    case 'connected':
      return { ...connected };
    case 'disconnected':
      return { ...disconnected, connected_for_ms: Number(disconnected?.connected_for_ms) };
    case 'message_in':
      return {
        message_id: message?.message_id,
        client_id: message?.client_id,
        ...(message?.room ? { room: message.room } : { to_mid: message?.to_mid }),
        operation: message?.operation,
        ...base64Of(message?.body),
        body_bytes: message?.body_bytes,
        ...(message?.stream && { stream: message.stream, epoch: message.epoch }),
      };
    case 'delivered':
      return { ...delivered, position: Number(delivered?.position) };
    case 'read':
      return { ...read, position: Number(read?.position) };
    case 'offline':
      return {
        message_id: offline?.message_id,
        operation: offline?.operation,
        ...base64Of(offline?.body),
        body_bytes: offline?.body_bytes,
        keys: offline?.keys,
        accepted_at_ms: Number(offline?.accepted_at_ms),
        expire_at_ms: Number(offline?.expire_at_ms),
        collapse_key: offline?.collapse_key,
        traceparent: offline?.traceparent,
        stream: offline?.stream,
        epoch: offline?.epoch,
        position: Number(offline?.position),
        ...(offline?.from_mid !== '0' && { from_mid: offline?.from_mid }),
      };
    case 'upstream':
      return {};
  }
}

function upstreamOf({ value }: ReadRecord): WebhookEvent | undefined {
  const { id, mid, key } = upstreamCodec.decode(value);
  if (id === '') return undefined;
  const body = (): string => {
    const { server, room_id: room, proto, received_at_ms: atMs } = upstreamCodec.decode(value);
    return bodyOf(id, 'upstream', atMs, {
      mid,
      ...(key !== '' && { key }),
      comet: server,
      ...(room !== '' && { room }),
      operation: proto?.op ?? 0,
      ...base64Of(proto?.body),
      body_bytes: proto?.body.byteLength ?? 0,
    });
  };
  return { id: headerOf(id), kind: 'upstream', lane: laneOf(mid, key), body };
}

function bodyOf(id: string, type: WebhookKind, atMs: string, data: object): string {
  return JSON.stringify({ id, type, timestamp: timeOf(Number(atMs)), data });
}

const MAX_DATE_MS = 8_640_000_000_000_000;

/** What somebody else wrote may be no time. */
function timeOf(ms: number): string {
  return new Date(Math.min(Math.max(ms, 0), MAX_DATE_MS)).toISOString();
}

function base64Of(body: Buffer | undefined): { readonly body?: string } {
  return body ? { body: body.toString('base64') } : {};
}

/** Anonymous connections are apart from each other. */
function laneOf(mid: string, key: string): string {
  return mid === '0' ? `k/${key}` : mid;
}

/** An id that a caller made up is to stand in a header, and in front of the dot of what is signed. */
function headerOf(id: string): string {
  if (/^[\w:~-]{1,128}$/.test(id)) return id;
  return `id-${createHash('sha256').update(id).digest('base64url').slice(0, 22)}`;
}

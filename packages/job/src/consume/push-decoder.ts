import type { Class__Output } from '@halley/cluster/grpc/gen/halley/delivery/v1/Class';
import type { Sender__Output } from '@halley/cluster/grpc/gen/halley/delivery/v1/Sender';
import type { ConnectionKey, RoomId, UserId } from '@halley/protocol/ids';

import { Wire, WireReader } from './wire-reader.js';

/** A push as read from the bus: `Push` of record.proto. */
export interface Push {
  readonly id: string;
  readonly operation: number;
  /** A view of its record. */
  readonly body: Buffer;
  readonly class: Class__Output;
  /** Unix milliseconds; 0 where nobody says. */
  readonly accepted_at_ms: number;
  /** Unix milliseconds; 0 is never. */
  readonly expire_at_ms: number;
  readonly users: readonly UserId[];
  readonly keys: readonly ConnectionKey[];
  readonly rooms: readonly RoomId[];
  readonly everyone: boolean;
  readonly speed: number;
  readonly traceparent: string;
  readonly caller: string;
  /** Whose each key was when the push was accepted; 0, or absent, is nobody's. */
  readonly key_owners: readonly UserId[];
  readonly sender: Sender__Output | null;
  readonly control: boolean;
  readonly collapse_key: string;
  /** Milliseconds; 0 is as long as the stream. */
  readonly retention_ms: number;
}

type Fields = { -readonly [Name in keyof Push]: Push[Name] };

const NO_BODY = Buffer.alloc(0);
const NONE: readonly never[] = [];
const CLASSES: readonly Class__Output[] = ['CLASS_UNSPECIFIED', 'CLASS_DURABLE', 'CLASS_EPHEMERAL'];
const PUSHES = field(1, Wire.Bytes);

function field(number: number, wire: number): number {
  return number * 8 + wire;
}

/**
 * The pushes of a record, as the codec of the message type reads them, in a fraction of the time: for what is decoded for
 * every push. Throws RangeError on what is no record.
 */
export function decodeRecord(value: Uint8Array): Push[] {
  const bytes = Buffer.from(value.buffer, value.byteOffset, value.byteLength);
  const reader = new WireReader(bytes, 0, bytes.byteLength);
  const pushes: Push[] = [];
  while (!reader.done) {
    const tag = reader.tag();
    if (tag === PUSHES) pushes.push(decodePush(reader.message()));
    else reader.skip(tag);
  }
  return pushes;
}

function decodePush(reader: WireReader): Push {
  const push: Fields = {
    id: '',
    operation: 0,
    body: NO_BODY,
    class: 'CLASS_UNSPECIFIED',
    accepted_at_ms: 0,
    expire_at_ms: 0,
    users: NONE,
    keys: NONE,
    rooms: NONE,
    everyone: false,
    speed: 0,
    traceparent: '',
    caller: '',
    key_owners: NONE,
    sender: null,
    control: false,
    collapse_key: '',
    retention_ms: 0,
  };
  while (!reader.done) {
    const tag = reader.tag();
    switch (tag) {
      case field(1, Wire.Bytes):
        push.id = reader.text();
        break;
      case field(2, Wire.Varint):
        push.operation = reader.int32();
        break;
      case field(3, Wire.Bytes):
        push.body = reader.view();
        break;
      case field(4, Wire.Varint):
        push.class = CLASSES[reader.int32()] ?? 'CLASS_UNSPECIFIED';
        break;
      case field(5, Wire.Varint):
        push.accepted_at_ms = reader.number();
        break;
      case field(6, Wire.Varint):
        push.expire_at_ms = reader.number();
        break;
      case field(7, Wire.Bytes):
        push.users = digitsOf(push.users, reader.message());
        break;
      case field(7, Wire.Varint):
        push.users = [...push.users, reader.digits() as UserId];
        break;
      case field(8, Wire.Bytes):
        push.keys = added(push.keys, reader.text() as ConnectionKey);
        break;
      case field(9, Wire.Bytes):
        push.rooms = added(push.rooms, reader.text() as RoomId);
        break;
      case field(10, Wire.Varint):
        push.everyone = reader.bool();
        break;
      case field(11, Wire.Varint):
        push.speed = reader.int32();
        break;
      case field(12, Wire.Bytes):
        push.traceparent = reader.text();
        break;
      case field(13, Wire.Bytes):
        push.caller = reader.text();
        break;
      case field(14, Wire.Bytes):
        push.key_owners = digitsOf(push.key_owners, reader.message());
        break;
      case field(14, Wire.Varint):
        push.key_owners = [...push.key_owners, reader.digits() as UserId];
        break;
      case field(15, Wire.Bytes):
        push.sender = decodeSender(reader.message());
        break;
      case field(16, Wire.Varint):
        push.control = reader.bool();
        break;
      case field(17, Wire.Bytes):
        push.collapse_key = reader.text();
        break;
      case field(18, Wire.Varint):
        push.retention_ms = reader.number();
        break;
      default:
        reader.skip(tag);
    }
  }
  return push;
}

function decodeSender(reader: WireReader): Sender__Output {
  const sender = { mid: '0', key: '', client_id: '', to_mid: '0' };
  while (!reader.done) {
    const tag = reader.tag();
    if (tag === field(1, Wire.Varint)) sender.mid = reader.digits();
    else if (tag === field(2, Wire.Bytes)) sender.key = reader.text();
    else if (tag === field(3, Wire.Bytes)) sender.client_id = reader.text();
    else if (tag === field(4, Wire.Varint)) sender.to_mid = reader.digits();
    else reader.skip(tag);
  }
  return sender;
}

/** The first makes the list: most have none. */
function added<Item>(items: readonly Item[], item: Item): readonly Item[] {
  if (items.length === 0) return [item];
  (items as Item[]).push(item);
  return items;
}

function digitsOf(before: readonly UserId[], packed: WireReader): readonly UserId[] {
  const users: UserId[] = before.length === 0 ? [] : [...before];
  while (!packed.done) users.push(packed.digits() as UserId);
  return users;
}

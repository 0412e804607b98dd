import { codec, protos } from '@halley/cluster/grpc/protos';
import type { PushMessage } from '@halley/logic/push/target';
import { encodeFrames, pushFrame } from '@halley/protocol/frame';

import type { Sent } from './sent.js';

const pushes = codec(protos.goim.comet.PushMsgReq);
const rooms = codec(protos.goim.comet.BroadcastRoomReq);
const all = codec(protos.goim.comet.BroadcastReq);

/** A message of goim's that has whole frames as its body. */
const OP_RAW = 9;
/** goim's job sends a room's messages when there are so many, or after a second. */
const ROOM_BATCH = 20;

/** Where the devices of users are: comets by number, one for each device. */
export type Devices = ReadonlyMap<string, readonly number[]>;

/**
 * What goim spends on the same pushes. Its logic asks Redis for the routes of users, one pipeline a push, and writes a record for
 * each comet; its job calls that comet. Of rooms neither knows where they are: every comet is called, with up to 20 messages of a
 * room at once. So too for everyone.
 */
export function sentByGoim(messages: readonly PushMessage[], devices: Devices, cometCount: number): Sent {
  const reached = new Set<number>();
  const sum = { messages: 0, bytes: 0, storeCalls: 0 };
  const call = (bytes: number, times: number): void => {
    sum.messages += times;
    sum.bytes += bytes * times;
  };
  const perRoom = new Map<string, PushMessage[]>();
  for (const message of messages) {
    const { target } = message;
    switch (target.kind) {
      case 'users': {
        sum.storeCalls += 1;
        const keys = new Map<number, string[]>();
        for (const mid of target.users)
          for (const [at, comet] of (devices.get(mid) ?? []).entries())
            keys.set(comet, [...(keys.get(comet) ?? []), keyOf(mid, at)]);
        for (const [comet, named] of keys) {
          reached.add(comet);
          const request = { keys: named, proto: protoOf([message]), protoOp: message.operation };
          call(pushes.encode(request).byteLength, 1);
        }
        break;
      }
      case 'room':
        perRoom.set(target.room, [...(perRoom.get(target.room) ?? []), message]);
        break;
      case 'everyone':
        call(
          all.encode({ protoOp: message.operation, proto: protoOf([message]), speed: 0 }).byteLength,
          cometCount,
        );
        for (let comet = 0; comet < cometCount; comet += 1) reached.add(comet);
        break;
      case 'keys':
        throw new RangeError('no shape pushes to keys');
    }
  }
  for (const [roomID, sent] of perRoom)
    for (let at = 0; at < sent.length; at += ROOM_BATCH) {
      const request = { roomID, proto: protoOf(sent.slice(at, at + ROOM_BATCH)) };
      call(rooms.encode(request).byteLength, cometCount);
      for (let comet = 0; comet < cometCount; comet += 1) reached.add(comet);
    }
  return { comets: reached.size, ...sum };
}

/** The key of a user's device, from 0; as long as a UUID. */
export function keyOf(mid: string, device: number): string {
  return `${mid}-${device}-`.padEnd(36, '0');
}

function protoOf(messages: readonly PushMessage[]): GoimProto {
  const frames = messages.map(({ operation, body }) => pushFrame(operation, body));
  return { ver: 1, op: OP_RAW, seq: 0, body: Buffer.from(encodeFrames(frames)) };
}

interface GoimProto {
  readonly ver: number;
  readonly op: number;
  readonly seq: number;
  readonly body: Buffer;
}

import type { PushMessage, Target } from '@halley/logic/push/target';
import type { MessageId, RoomId, UserId } from '@halley/protocol/ids';

import { keyOf, sentByGoim } from './goim.js';
import type { RoutedCluster } from './routed-cluster.js';
import type { Sent } from './sent.js';

const OPERATION = 1_000;
/** Users of the shapes are from here on, and as many as this. */
const FIRST_USER = 1_000_000_000;
const USERS = 1_000;
const DEVICES = 2;
/** Each further device of a user is so many comets on, and so on another one. */
const NEXT_DEVICE = 7;
const ROOM_COMETS = [10, 120, 230];

/** What the same pushes take here and with goim. */
export interface Cost {
  readonly shape: string;
  readonly halley: Sent;
  readonly goim: Sent;
}

interface Shape {
  readonly name: string;
  /** What is pushed in one call. */
  readonly pushes: (body: Buffer) => PushMessage[];
}

const SHAPES: readonly Shape[] = [
  { name: 'a message to a room on 3 comets', pushes: (body) => [toRoom('live://three', body)] },
  {
    name: '1,000 messages at once to that room',
    pushes: (body) => times(1_000, () => toRoom('live://three', body)),
  },
  {
    name: '1,000 messages to 1,000 rooms on 3 comets each',
    pushes: (body) => times(1_000, (index) => toRoom(`live://many-${index}`, body)),
  },
  {
    name: 'a message to a durable room on 3 comets',
    pushes: (body) => [{ ...toRoom('live://three', body), durable: true }],
  },
  { name: 'a message to a room that nobody is in', pushes: (body) => [toRoom('live://none', body)] },
  { name: 'a message to a room on all comets', pushes: (body) => [toRoom('live://all', body)] },
  { name: 'a message to a user with 2 devices', pushes: (body) => [toUsers([userAt(0)], body)] },
  {
    name: '1,000 messages, each to another such user',
    pushes: (body) => times(USERS, (index) => toUsers([userAt(index)], body)),
  },
  {
    name: 'a message to 1,000 such users',
    pushes: (body) => [toUsers(times(USERS, userAt), body)],
  },
  {
    name: 'a message to everyone',
    pushes: (body) => [push({ kind: 'everyone', speed: 0 }, body, false)],
  },
];

/** Fills a cluster with the users and rooms of the shapes, and pushes each shape, with bodies of so many bytes. */
export async function costsOf(cluster: RoutedCluster, bodyBytes: number): Promise<Cost[]> {
  const count = cluster.comets.length;
  const devices = new Map<string, number[]>();
  for (let index = 0; index < USERS; index += 1) {
    const comets = times(DEVICES, (device) => (index + device * NEXT_DEVICE) % count);
    devices.set(userAt(index), comets);
    for (const [device, comet] of comets.entries())
      await cluster.connect(userAt(index), keyOf(userAt(index), device), comet);
  }
  for (const comet of ROOM_COMETS) {
    await cluster.enterRoom('live://three', comet);
    for (let room = 0; room < 1_000; room += 1) await cluster.enterRoom(`live://many-${room}`, comet + room);
  }
  for (let comet = 0; comet < count; comet += 1) await cluster.enterRoom('live://all', comet);
  const costs: Cost[] = [];
  for (const { name, pushes } of SHAPES) {
    const messages = pushes(Buffer.alloc(bodyBytes, 'a'));
    const halley = await cluster.push(messages);
    costs.push({ shape: name, halley, goim: sentByGoim(messages, devices, count) });
  }
  return costs;
}

let pushed = 0;

function push(target: Target, body: Buffer, durable: boolean): PushMessage {
  pushed += 1;
  // As long as the ids that logic gives.
  const id = String(pushed).padStart(36, '0') as MessageId;
  return { id, target, operation: OPERATION, body, durable, expireAtMs: 0 };
}

function toRoom(room: string, body: Buffer): PushMessage {
  return push({ kind: 'room', room: room as RoomId }, body, false);
}

function toUsers(users: readonly string[], body: Buffer): PushMessage {
  return push({ kind: 'users', users: users as readonly UserId[] }, body, true);
}

function userAt(index: number): string {
  return String(FIRST_USER + index);
}

function times<Value>(count: number, make: (index: number) => Value): Value[] {
  return Array.from({ length: count }, (_, index) => make(index));
}

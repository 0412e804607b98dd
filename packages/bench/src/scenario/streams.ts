import { keyOf, midOf, roomIdOf, type Identity } from '../load/identity.js';
import { roomSender, type Sender as StampSender, userSender } from '../load/stamp.js';
import type { SendTarget } from '../send/sender.js';

/** One numbered sequence of messages: to a room, or to a user. */
export interface Stream {
  readonly sender: StampSender;
  readonly target: SendTarget;
  /** Connections that each of its messages must come to. */
  readonly members: number;
}

/** The streams of a run, and which one push k is of. */
export interface Streams {
  readonly all: readonly Stream[];
  readonly streamOf: (push: number) => number;
}

/** Steps through streams so that neighbours in time are not neighbours in number; a prime above any number of streams' factors. */
const STRIDE = 7_919;
const HUNDRED = 100;
/** Which of a hundred pushes are to rooms is spread over the hundred: a step without a common factor. */
const SPREAD = 37;

/** All rooms of the connections, in turn. */
export function roomStreams(identity: Identity, connections: number): Streams {
  const all = rooms(identity, connections);
  return { all, streamOf: (push) => push % all.length };
}

/** All users, one connection each. */
export function userStreams(identity: Identity, connections: number): Streams {
  const all = users(identity, connections);
  return { all, streamOf: (push) => spread(push, all.length) };
}

/** Both: of 100 pushes, `roomPercent` to rooms. */
export function mixedStreams(identity: Identity, connections: number, roomPercent: number): Streams {
  const [inRooms, ofUsers] = [rooms(identity, connections), users(identity, connections)];
  return {
    all: [...inRooms, ...ofUsers],
    streamOf: (push) => {
      const place = (push * SPREAD) % HUNDRED;
      const hundreds = Math.floor(push / HUNDRED);
      if (place < roomPercent) return (hundreds * roomPercent + place) % inRooms.length;
      return inRooms.length + spread(push, ofUsers.length);
    },
  };
}

function rooms(identity: Identity, connections: number): Stream[] {
  const count = Math.min(identity.rooms, connections);
  return Array.from({ length: count }, (_, room) => ({
    sender: roomSender(room),
    target: { kind: 'room', room: roomIdOf(identity, room) },
    // Connection i is in room i modulo rooms.
    members: Math.floor((connections - room - 1) / identity.rooms) + 1,
  }));
}

function users(identity: Identity, connections: number): Stream[] {
  return Array.from({ length: connections }, (_, connection) => ({
    sender: userSender(connection),
    target: {
      kind: 'user',
      mid: midOf(identity, connection),
      key: keyOf(identity, connection),
      connection,
    },
    members: 1,
  }));
}

function spread(push: number, count: number): number {
  return count % STRIDE === 0 ? push % count : (push * STRIDE) % count;
}

import { randomBytes, randomInt, randomUUID } from 'node:crypto';

/** Ids that nobody else uses, so that tests run on a shared, live cluster. */

/** A random positive int64 above 2^53, where a double no longer tells neighbours apart; even, so that + 1 is its neighbour. */
export function newMid(): bigint {
  return (1n << 61n) | ((randomBytes(8).readBigUInt64BE() >> 4n) & ~1n);
}

/** A random operation above those that anybody uses. */
export function newOp(): number {
  return randomInt(1_000_000, 2 ** 31 - 2);
}

export function newKey(): string {
  return `key-${randomUUID()}`;
}

/** A room in the two parts that a push names, and its id. */
export interface Room {
  readonly type: string;
  readonly room: string;
  readonly id: string;
}

export function newRoom(type = `conformance-${randomUUID().slice(0, 8)}`): Room {
  const room = randomUUID();
  return { type, room, id: `${type}://${room}` };
}

/** "HBN1": the first four bytes of a message's body. */
export const STAMP_MAGIC = 0x48424e31;
/** Bytes of a stamp; a message's body has at least as many. */
export const STAMP_BYTES = 32;
const PADDING = 0x78;

/** Of the two upper bits of a sender: what its messages are sent to. */
export const SenderKind = { room: 0, everyone: 1, user: 2 } as const;
export type SenderKind = (typeof SenderKind)[keyof typeof SenderKind];

const KIND_SHIFT = 30;
const INDEX_MASK = 0x3fffffff;

/**
 * Who numbered a message: one sequence of 1, 2, 3, … for each room, for each user, and for what goes to everyone. Made by
 * {@link roomSender} and its like, so that a room and a user of the same index are not taken for each other.
 */
export type Sender = number & { readonly brand: 'Sender' };

/** The sender to the room of this index, of all its messages. */
export function roomSender(room: number): Sender {
  return senderOf(SenderKind.room, room);
}

/** The sender to the user of the connection of this index, of all their messages. */
export function userSender(connection: number): Sender {
  return senderOf(SenderKind.user, connection);
}

/** The sender to everyone. */
export function everyoneSender(): Sender {
  return senderOf(SenderKind.everyone, 0);
}

/** What a sender's messages are sent to. */
export function kindOf(sender: Sender): SenderKind {
  return (sender >>> KIND_SHIFT) as SenderKind;
}

/** What is written into each message of the bench, so that whoever reads it knows its order and its age. */
export interface Stamp {
  readonly sender: Sender;
  /** From 1, one more with each message of that sender. */
  readonly sequence: bigint;
  /** When it was due by the plan, not when it was sent; CLOCK_MONOTONIC, as `process.hrtime.bigint()`, in nanoseconds. */
  readonly intendedNs: bigint;
  /** Of the run: messages of another one are not counted. */
  readonly run: bigint;
}

/** Writes a stamp at the start of `body`, and fills the rest. Throws RangeError where `body` is below {@link STAMP_BYTES}. */
export function writeStamp(body: Buffer, { sender, sequence, intendedNs, run }: Stamp): void {
  body.writeUInt32BE(STAMP_MAGIC, 0);
  body.writeUInt32BE(sender, 4);
  body.writeBigUInt64BE(sequence, 8);
  body.writeBigUInt64BE(intendedNs, 16);
  body.writeBigUInt64BE(run, 24);
  body.fill(PADDING, STAMP_BYTES);
}

/** A message of `bodyBytes` with this stamp, in a fresh buffer. */
export function stamped(bodyBytes: number, stamp: Stamp): Buffer {
  const body = Buffer.allocUnsafe(bodyBytes);
  writeStamp(body, stamp);
  return body;
}

/** Reads the stamp of a body; undefined where it has none. */
export function readStamp(body: Uint8Array): Stamp | undefined {
  if (body.length < STAMP_BYTES) return undefined;
  const view = new DataView(body.buffer, body.byteOffset, STAMP_BYTES);
  if (view.getUint32(0) !== STAMP_MAGIC) return undefined;
  return {
    sender: view.getUint32(4) as Sender,
    sequence: view.getBigUint64(8),
    intendedNs: view.getBigUint64(16),
    run: view.getBigUint64(24),
  };
}

function senderOf(kind: SenderKind, index: number): Sender {
  if (!Number.isInteger(index) || index < 0 || index > INDEX_MASK)
    throw new RangeError(`the index of a sender is ${index}, not 0 to ${INDEX_MASK}`);
  return (kind * 2 ** KIND_SHIFT + index) as Sender;
}

/** A push to one user, as it goes through the bare chain. */
export interface PackedPush {
  readonly mid: number;
  readonly operation: number;
  readonly body: Buffer;
}

/** mid (a double), operation and length of the body (u32 each), then the body; big-endian. Also in append.lua. */
const HEAD_BYTES = 16;

/** Many pushes as one value: what a record holds, what Redis is given, and what travels to comet. */
export function packed(pushes: readonly PackedPush[]): Buffer {
  const out = Buffer.allocUnsafe(pushes.reduce((sum, { body }) => sum + HEAD_BYTES + body.length, 0));
  let at = 0;
  for (const { mid, operation, body } of pushes) {
    out.writeDoubleBE(mid, at);
    out.writeUInt32BE(operation, at + 8);
    out.writeUInt32BE(body.length, at + 12);
    body.copy(out, at + HEAD_BYTES);
    at += HEAD_BYTES + body.length;
  }
  return out;
}

/** Calls `each` with every push, in order. Bodies are views. */
export function unpack(bytes: Buffer, each: (push: PackedPush) => void): void {
  for (let at = 0; at < bytes.length;) {
    const bodyAt = at + HEAD_BYTES;
    const end = bodyAt + bytes.readUInt32BE(at + 12);
    each({
      mid: bytes.readDoubleBE(at),
      operation: bytes.readUInt32BE(at + 8),
      body: bytes.subarray(bodyAt, end),
    });
    at = end;
  }
}

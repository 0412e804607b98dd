/** Eight tables: table k is the effect of a byte that is followed by k zero bytes. Made when first needed. */
let tables: Int32Array | undefined;

/**
 * CRC-32C (Castagnoli, RFC 3720 appendix B.4) of `bytes`, as a signed int32. `before`: the checksum of what comes ahead of
 * them, to go on in pieces.
 */
export function crc32c(bytes: Uint8Array, before = 0): number {
  const t = (tables ??= makeTables());
  const end = bytes.length;
  let crc = ~before;
  let at = 0;
  // Eight bytes a step: their effects are independent of each other.
  for (; at + 8 <= end; at += 8) {
    const low = crc ^ littleEndian(bytes, at);
    const high = littleEndian(bytes, at + 4);
    crc =
      (t[1792 + (low & 255)] as number) ^
      (t[1536 + ((low >>> 8) & 255)] as number) ^
      (t[1280 + ((low >>> 16) & 255)] as number) ^
      (t[1024 + (low >>> 24)] as number) ^
      (t[768 + (high & 255)] as number) ^
      (t[512 + ((high >>> 8) & 255)] as number) ^
      (t[256 + ((high >>> 16) & 255)] as number) ^
      (t[high >>> 24] as number);
  }
  for (; at < end; at += 1) crc = (crc >>> 8) ^ (t[(crc ^ (bytes[at] as number)) & 255] as number);
  return ~crc;
}

function littleEndian(bytes: Uint8Array, at: number): number {
  return (
    (bytes[at] as number) |
    ((bytes[at + 1] as number) << 8) |
    ((bytes[at + 2] as number) << 16) |
    ((bytes[at + 3] as number) << 24)
  );
}

function makeTables(): Int32Array {
  const made = new Int32Array(8 * 256);
  for (let byte = 0; byte < 256; byte += 1) {
    let crc = byte;
    // The polynomial 0x1EDC6F41, bits reversed.
    for (let bit = 0; bit < 8; bit += 1) crc = (crc >>> 1) ^ (crc & 1 ? 0x82f63b78 : 0);
    made[byte] = crc;
  }
  for (let at = 256; at < made.length; at += 1) {
    const one = made[at - 256] as number;
    made[at] = (one >>> 8) ^ (made[one & 255] as number);
  }
  return made;
}

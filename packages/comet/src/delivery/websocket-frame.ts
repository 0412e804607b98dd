const FIN_BINARY = 0x82;

/** Bytes of the header of an unmasked WebSocket message of `payloadBytes` (RFC 6455, 5.2). */
export function binaryHeaderBytes(payloadBytes: number): number {
  if (payloadBytes <= 125) return 2;
  return payloadBytes <= 0xffff ? 4 : 10;
}

/** Writes the header of a whole, unmasked binary message at the start of `out`; answers the offset behind it. */
export function writeBinaryHeader(out: Uint8Array, payloadBytes: number): number {
  out[0] = FIN_BINARY;
  if (payloadBytes <= 125) {
    out[1] = payloadBytes;
    return 2;
  }
  if (payloadBytes <= 0xffff) {
    out[1] = 126;
    out[2] = payloadBytes >>> 8;
    out[3] = payloadBytes & 0xff;
    return 4;
  }
  out[1] = 127;
  const high = Math.floor(payloadBytes / 2 ** 32);
  for (let i = 0; i < 4; i += 1) {
    out[2 + i] = (high >>> (24 - 8 * i)) & 0xff;
    out[6 + i] = (payloadBytes >>> (24 - 8 * i)) & 0xff;
  }
  return 10;
}

import { isIP } from 'node:net';

import { normalizeAddress } from './client-address.js';

/** What the first bytes of a connection turned out to be. */
export type ProxyHeader =
  /** Not decided yet: more bytes are needed. */
  | { readonly kind: 'more' }
  /** No PROXY header: everything belongs to the client. */
  | { readonly kind: 'none' }
  /** A header of `bytes` bytes; the client's address, unless the proxy speaks for itself. */
  | { readonly kind: 'header'; readonly bytes: number; readonly address: string | undefined }
  /** It began as one and is not. */
  | { readonly kind: 'bad' };

const MORE: ProxyHeader = { kind: 'more' };
const NONE: ProxyHeader = { kind: 'none' };
const BAD: ProxyHeader = { kind: 'bad' };
const V1_START = Buffer.from('PROXY ');
const V1_MAX_BYTES = 107;
const V2_START = Buffer.from('\r\n\r\n\0\r\nQUIT\n');
const V2_HEADER_BYTES = 16;
/** Addresses take at most 216 bytes; the rest are extensions, which we skip. */
const V2_MAX_PAYLOAD_BYTES = 4_096;

/** Reads a PROXY protocol header, version 1 or 2, at the start of a connection (haproxy's proxy-protocol.txt, 2.1 and 2.2). */
export function parseProxyHeader(start: Buffer): ProxyHeader {
  if (beginsAs(start, V1_START)) return start.length < V1_START.length ? MORE : parseVersion1(start);
  if (beginsAs(start, V2_START)) return start.length < V2_HEADER_BYTES ? MORE : parseVersion2(start);
  return NONE;
}

/** Whether the bytes there are agree with the signature. */
function beginsAs(start: Buffer, signature: Buffer): boolean {
  const length = Math.min(start.length, signature.length);
  return start.compare(signature, 0, length, 0, length) === 0;
}

function parseVersion1(start: Buffer): ProxyHeader {
  const end = start.subarray(0, V1_MAX_BYTES).indexOf('\r\n');
  if (end < 0) return start.length >= V1_MAX_BYTES ? BAD : MORE;
  const [, protocol, source = '', destination = '', sourcePort = '', destinationPort = '', ...rest] = start
    .toString('latin1', 0, end)
    .split(' ');
  const bytes = end + 2;
  if (protocol === 'UNKNOWN') return { kind: 'header', bytes, address: undefined };
  const family = protocol === 'TCP4' ? 4 : protocol === 'TCP6' ? 6 : 0;
  const good =
    family !== 0 &&
    isIP(source) === family &&
    isIP(destination) === family &&
    isPort(sourcePort) &&
    isPort(destinationPort) &&
    rest.length === 0;
  return good ? { kind: 'header', bytes, address: normalizeAddress(source) } : BAD;
}

function isPort(text: string): boolean {
  return /^\d{1,5}$/.test(text) && Number(text) <= 65_535;
}

function parseVersion2(start: Buffer): ProxyHeader {
  const version = start.readUInt8(12) >> 4;
  const command = start.readUInt8(12) & 0x0f;
  const family = start.readUInt8(13) >> 4;
  const payloadBytes = start.readUInt16BE(14);
  if (version !== 2 || command > 1 || family > 3 || payloadBytes > V2_MAX_PAYLOAD_BYTES) return BAD;
  const bytes = V2_HEADER_BYTES + payloadBytes;
  if (start.length < bytes) return MORE;
  // LOCAL: the proxy's own connection, as a health check.
  if (command === 0) return { kind: 'header', bytes, address: undefined };
  const payload = start.subarray(V2_HEADER_BYTES, bytes);
  if (family === 1) return payload.length < 12 ? BAD : { kind: 'header', bytes, address: ipv4(payload) };
  if (family === 2) return payload.length < 36 ? BAD : { kind: 'header', bytes, address: ipv6(payload) };
  return { kind: 'header', bytes, address: undefined };
}

function ipv4(payload: Buffer): string {
  return payload.subarray(0, 4).join('.');
}

function ipv6(payload: Buffer): string {
  const groups: string[] = [];
  for (let i = 0; i < 16; i += 2) groups.push(payload.readUInt16BE(i).toString(16));
  const text = groups.join(':');
  const mapped = text.startsWith('0:0:0:0:0:ffff:') ? ipv4(payload.subarray(12)) : undefined;
  return mapped ?? text;
}

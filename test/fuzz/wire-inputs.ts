import type { Random } from '@halley/bench/random';
import { anInput, mutate } from './inputs.js';

/** The request that is answered with 101. */
export const UPGRADE = upgrade([
  'GET /sub HTTP/1.1',
  'Host: 127.0.0.1',
  'Upgrade: websocket',
  'Connection: Upgrade',
  'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
  'Sec-WebSocket-Version: 13',
]);

function upgrade(lines: readonly string[]): Buffer {
  return Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1');
}

/** Lines that have no place in an upgrade, or not so. */
const ODD_LINES = [
  'GET /sub HTTP/1.0',
  'GET / HTTP/1.1',
  'POST /sub HTTP/1.1',
  'GET http://[::/sub HTTP/1.1',
  'Upgrade: h2c',
  'Connection: keep-alive, Upgrade',
  'Connection: close',
  'Sec-WebSocket-Key: short',
  'Sec-WebSocket-Version: 99',
  'Sec-WebSocket-Protocol: a,,b,a',
  'Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits=99; x="',
  'Content-Length: 5',
  'Transfer-Encoding: chunked',
  'Expect: 100-continue',
  'Origin: null',
  'X-Forwarded-For: ,, 1.2.3.4, [::1]:x, nonsense',
  `Cookie: ${'a=b; '.repeat(4_000)}`,
  ' folded',
  ': nameless',
];

/** An upgrade with lines missing, doubled, strange or out of order, then maybe with bytes mutated. */
export function anUpgrade(random: Random): Buffer {
  const lines = UPGRADE.toString('latin1').trimEnd().split('\r\n');
  for (let changes = random.below(4); changes > 0; changes -= 1) {
    const at = random.below(lines.length);
    const [removed = ''] = lines.splice(at, random.below(2));
    if (random.below(2) === 0) lines.splice(random.below(lines.length + 1), 0, random.pick(ODD_LINES));
    else if (random.below(3) === 0) lines.splice(random.below(lines.length + 1), 0, removed, removed);
  }
  const request = upgrade(lines);
  return random.below(3) === 0 ? mutate(request, random) : request;
}

/** What a client's WebSocket side might send: frames of any kind and length, masked or not, whole or not. */
export function webSocketBytes(random: Random): Buffer {
  const frames: Buffer[] = [];
  for (let count = random.below(4); count >= 0; count -= 1) frames.push(aWebSocketFrame(random));
  const bytes = Buffer.concat(frames);
  return random.below(3) === 0 ? mutate(bytes, random) : bytes;
}

function aWebSocketFrame(random: Random): Buffer {
  const control = random.below(3) === 0;
  const opcode = random.below(8) === 0 ? random.below(16) : control ? 8 + random.below(3) : random.below(3);
  const fin = random.below(4) > 0 ? 0x80 : 0;
  const reserved = random.below(12) === 0 ? random.below(8) << 4 : 0;
  const payload = control && random.below(8) > 0 ? random.bytes(random.below(126)) : anInput(random);
  const length = random.below(12) === 0 ? anyLength(random) : BigInt(payload.length);
  const masked = random.below(12) > 0;
  const key = masked ? random.bytes(4) : Buffer.alloc(4);
  return Buffer.concat([
    Buffer.of(fin | reserved | opcode),
    lengthBytes(length, masked, random),
    masked ? key : Buffer.alloc(0),
    payload.map((byte, index) => byte ^ (key[index & 3] as number)),
  ]);
}

/** Lengths that lie about the payload. */
function anyLength(random: Random): bigint {
  return random.pick([0n, 1n, 125n, 126n, 65_535n, 65_536n, 65_537n, 2n ** 31n, 2n ** 53n, 2n ** 64n - 1n]);
}

/** The length in the shortest form, or now and then in a longer one. */
function lengthBytes(length: bigint, masked: boolean, random: Random): Buffer {
  const mask = masked ? 0x80 : 0;
  const longer = random.below(16) === 0;
  if (length < 126n && !longer) return Buffer.of(mask | Number(length));
  if (length < 65_536n && !(longer && length >= 126n)) {
    return Buffer.of(mask | 126, Number(length >> 8n), Number(length & 255n));
  }
  const bytes = Buffer.alloc(9, mask | 127);
  bytes.writeBigUInt64BE(length, 1);
  return bytes;
}

/** A PROXY header of version 1 or 2, good, strange, cut off, or with bytes mutated. */
export function aProxyHeader(random: Random): Buffer {
  const header = random.below(2) === 0 ? version1(random) : version2(random);
  return random.below(2) === 0 ? mutate(header, random) : header;
}

function version1(random: Random): Buffer {
  const ip = (): string => [0, 0, 0, 0].map(() => random.below(256)).join('.');
  const port = (): number => random.below(65_536);
  const line = random.pick([
    `TCP4 ${ip()} ${ip()} ${port()} ${port()}`,
    `TCP4 ${ip()} ${ip()} ${port()} ${port()}`,
    `TCP6 2001:db8::1 ::1 ${port()} ${port()}`,
    'UNKNOWN',
    `UNKNOWN ${'x'.repeat(random.below(200))}`,
    `TCP4 ::1 ${ip()} ${port()} 65536`,
    `TCP5 ${ip()}`,
  ]);
  return Buffer.from(`PROXY ${line}\r\n`, 'latin1');
}

function version2(random: Random): Buffer {
  const family = random.below(8) === 0 ? random.below(256) : random.pick([0x11, 0x21, 0x31, 0x00]);
  const command = random.below(8) === 0 ? random.below(256) : random.pick([0x20, 0x21]);
  const payload = random.bytes(random.below(4) === 0 ? random.below(300) : family >> 4 === 2 ? 36 : 12);
  const told = random.below(8) === 0 ? random.below(65_536) : payload.length;
  const signature = Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1');
  return Buffer.concat([signature, Buffer.of(command, family, told >> 8, told & 255), payload]);
}

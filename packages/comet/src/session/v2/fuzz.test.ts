import { afterEach, expect, test } from '@jest/globals';
import { BODIES } from '@halley/protocol/client/bodies';
import type { Fields, Message } from '@halley/protocol/client/message';
import { CloseCode } from '@halley/protocol/close-code';
import { encodeFrameV2, FrameFlag, frameV2 } from '@halley/protocol/frame-v2';
import { deflateRaw } from '@halley/service/raw-deflate';

import { outgoing } from '../../delivery/outgoing.js';
import { CometHarness, until } from '../../testing/harness.js';
import type { TcpClient } from '../../testing/test-client.js';

const CONNECTIONS = 300;
const AT_ONCE = 20;
const SEED = Number(process.env['HALLEY_FUZZ_SEED'] ?? 20_261_121);
/** With what broken bytes may close a connection; never with a fault of ours. */
const CLOSES: ReadonlySet<number> = new Set([
  CloseCode.BadFrame,
  CloseCode.FrameTooLarge,
  CloseCode.CorruptFrame,
]);
const STREAMS = ['u/1', 'u/2', 'r/a', 'all', ''];

/** Numbers from a seed, so that a run can be repeated (mulberry32). */
function numbers(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

type Numbers = ReturnType<typeof numbers>;

/** A body of some operation, with values that are right here and there. */
function aBody(below: Numbers): { op: number; body: Uint8Array } {
  const ops = Object.keys(BODIES).map(Number);
  const op = below(8) === 0 ? below(70) : (ops[below(ops.length)] as number);
  const message: Message<Fields> | undefined = (BODIES as Record<number, Message<Fields>>)[op];
  const body = message ? message.encode(someFields(message, below) as never) : Buffer.alloc(below(30), 'x');
  for (let flips = below(3) === 0 ? below(5) : 0; flips > 0 && body.length > 0; flips -= 1) {
    const at = below(body.length);
    body[at] = (body[at] as number) ^ (1 << below(8));
  }
  return { op, body: below(10) === 0 ? body.subarray(0, below(body.length + 1)) : body };
}

function someFields(message: Message<Fields>, below: Numbers): Record<string, unknown> {
  const fields: Record<string, unknown> = {};
  for (const [name, { rule, kind }] of Object.entries(message.fields)) {
    if (below(4) === 0) continue;
    const one = (): unknown => {
      if ('fields' in kind) return someFields(kind as unknown as Message<Fields>, below);
      if (kind.zero === '0') return String(below(4));
      if (typeof kind.zero === 'string') return STREAMS[below(STREAMS.length)];
      if (typeof kind.zero === 'number') return below(5) - 1;
      if (typeof kind.zero === 'boolean') return below(2) === 1;
      return Buffer.alloc(below(40), 'b');
    };
    fields[name] = rule === 'many' ? Array.from({ length: below(4) }, one) : one();
  }
  return fields;
}

function aFrame(below: Numbers): Uint8Array {
  const { op, body } = aBody(below);
  const deflated = below(6) === 0 ? FrameFlag.Deflated : 0;
  const flags = (below(6) === 0 ? FrameFlag.Checksum : 0) | deflated | (below(60) === 0 ? 4 : 0);
  const sent = deflated && below(5) > 0 ? deflateRaw(body) : body;
  const bytes = encodeFrameV2(frameV2(op, below(3), sent, flags));
  if (below(40) === 0) bytes[below(bytes.length)] = below(256);
  return bytes;
}

let harness: CometHarness | undefined;
afterEach(() => harness?.stop());

test(`broken requests of version 2 cost only their connections (HALLEY_FUZZ_SEED=${SEED})`, async () => {
  const started = await CometHarness.start({ leaveRoomAfterMs: 10 });
  harness = started;
  const below = numbers(SEED);
  const healthy = await started.version2({ mid: 99, key: 'healthy', accepts: [5] });
  const closes = new Set<number>();
  let lived = 0;
  const worker = async (count: number): Promise<void> => {
    for (let i = 0; i < count; i += 1) {
      const client = await started.version2({ mid: 1, accepts: [5] });
      const wire = client.wire as TcpClient;
      const frames = Array.from({ length: below(12) }, () => aFrame(below));
      wire.write(Buffer.concat([...frames, encodeFrameV2(frameV2(2, 77, Buffer.alloc(0)))]));
      await until(
        () => wire.ended !== undefined || wire.frames.some(({ op, seq }) => op === 3 && seq === 77),
        400,
      ).catch(() => undefined);
      if (wire.ended) closes.add((await client.end()).close?.code ?? -1);
      else lived += 1;
      wire.close();
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, () => worker(CONNECTIONS / AT_ONCE)));
  expect([...closes].filter((code) => !CLOSES.has(code))).toEqual([]);
  expect(closes.has(CloseCode.BadFrame)).toBe(true);
  expect(lived).toBeGreaterThan(0);
  started.comet.deliverer.toKeys(['healthy'], outgoing(5, Buffer.from('still here')));
  expect(await healthy.entries(1)).toEqual(['0 5:still here']);
  await until(() => started.comet.counter.open === 1);
  expect([started.comet.table.size, started.comet.streams.size, started.comet.rooms.size]).toEqual([1, 1, 0]);
  await until(() => started.comet.presence.size === 0 && started.comet.directory.size === 0);
});

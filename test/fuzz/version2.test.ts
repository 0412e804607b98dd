import { expect, test } from '@jest/globals';

import { BODIES } from '@halley/protocol/client/bodies';
import { isDeflated, plainFrame } from '@halley/protocol/client/compression';
import type { Fields, Message } from '@halley/protocol/client/message';
import { decodeMessage, FrameDecoder } from '@halley/protocol/decoder';
import { HalleyError } from '@halley/protocol/error';
import type { Frame } from '@halley/protocol/frame';
import { encodeFramesV2, FrameFlag, frameV2, type FrameV2 } from '@halley/protocol/frame-v2';
import { deflateRaw, inflateRaw } from '@halley/service/raw-deflate';

import { Random } from '@halley/bench/random';
import { fuzzSeed, MAX_BODY_BYTES, mutate } from './inputs.js';
import { sameOutcome, type Outcome } from './outcome.js';

/** Looked up once: in jest each look-up of a global goes through the test's sandbox. */
const { max } = Math;
const STREAMS = 10_000;
const BODIES_READ = 40_000;

const seed = fuzzSeed();
const messages = Object.values(BODIES) as unknown as readonly Message<Fields>[];

test(`streams of version 2 give the same for every split, within bounds (HALLEY_FUZZ_SEED=${seed})`, () => {
  Error.stackTraceLimit = 0;
  const random = new Random(seed);
  const seen: Record<string, number> = {};
  let inflated = 0;
  for (let i = 0; i < STREAMS; i += 1) {
    const input = aStream(random);
    const whole = run(input, [input.length]);
    count(seen, whole.fault ?? 'none');
    for (const cuts of splitsOf(input, random)) {
      const pieces = run(input, cuts);
      if (!sameOutcome(pieces, whole)) {
        const at = { i, input: input.toString('hex'), cuts };
        expect({ ...at, ...pieces }).toEqual({ ...at, ...whole });
      }
    }
    inflated += inflateAll(whole.frames);
    asMessage(input, whole);
  }
  console.log(`version 2 fuzz: seed ${seed}, ${STREAMS} streams: ${JSON.stringify({ ...seen, inflated })}`);
  for (const outcome of ['none', 'bad_frame', 'frame_too_large', 'corrupt_frame']) {
    expect({ outcome, enough: (seen[outcome] ?? 0) > STREAMS / 100 }).toEqual({ outcome, enough: true });
  }
  expect(inflated).toBeGreaterThan(STREAMS / 20);
}, 120_000);

test(`bodies of version 2 are read, or refused as such, whatever they are (HALLEY_FUZZ_SEED=${seed})`, () => {
  Error.stackTraceLimit = 0;
  const random = new Random(seed);
  const seen = { read: 0, refused: 0 };
  for (let i = 0; i < BODIES_READ; i += 1) {
    const message = random.pick(messages);
    let body = random.below(6) === 0 ? random.bytes(random.below(60)) : Buffer.from(aBody(message, random));
    for (let mutations = random.below(3); mutations > 0; mutations -= 1) body = mutate(body, random);
    try {
      const value = message.decode(body) as Record<string, never>;
      seen.read += 1;
      // What was read can be written, and is then read as the same.
      const again = message.decode(message.encode(value));
      if (JSON.stringify(again) !== JSON.stringify(value)) {
        expect({ i, message: message.name, again }).toEqual({ i, message: message.name, again: value });
      }
    } catch (error) {
      if (!(error instanceof HalleyError) || error.code !== 'bad_frame') throw error;
      seen.refused += 1;
    }
  }
  console.log(`version 2 bodies: seed ${seed}: ${JSON.stringify(seen)}`);
  for (const outcome of Object.values(seen)) expect(outcome).toBeGreaterThan(BODIES_READ / 20);
}, 120_000);

/** Frames of both headers, some with checksums, some compressed or said to be, some changed on the way. */
function aStream(random: Random): Buffer {
  const frames = Array.from({ length: 1 + random.below(4) }, () => aFrame(random));
  let input: Buffer = Buffer.from(encodeFramesV2(frames));
  for (let mutations = random.below(3); mutations > 0; mutations -= 1) input = mutate(input, random);
  return input;
}

function aFrame(random: Random): FrameV2 {
  const bodyBytes = random.below(20) === 0 ? MAX_BODY_BYTES - 2 + random.below(8) : random.below(40);
  const flags = random.below(30) === 0 ? random.below(2 ** 16) : random.below(2) * FrameFlag.Checksum;
  const frame = frameV2(random.below(64), random.int32(), random.bytes(bodyBytes), flags);
  if (random.below(4) > 0) return frame;
  // Up to twice the limit when it is inflated.
  const body = deflateRaw(Buffer.alloc(random.below(2 * MAX_BODY_BYTES)));
  return { ...frame, body, flags: (flags & FrameFlag.Checksum) | FrameFlag.Deflated };
}

function run(input: Buffer, cuts: readonly number[]): Outcome {
  const decoder = new FrameDecoder({ maxBodyBytes: MAX_BODY_BYTES, version2: true });
  const frames: Frame[] = [];
  let start = 0;
  try {
    for (const end of cuts) {
      decoder.push(input.subarray(start, end), frames);
      start = end;
      if (decoder.pendingBytes > end || decoder.reservedBytes > max(64, 2 * decoder.pendingBytes)) {
        throw new Error(`holds ${decoder.reservedBytes} bytes for ${decoder.pendingBytes} of ${end} arrived`);
      }
    }
    return { frames, fault: undefined };
  } catch (error) {
    if (!(error instanceof HalleyError)) throw error;
    if (decoder.reservedBytes > 0) throw new Error('holds bytes behind a fault', { cause: error });
    return { frames, fault: error.code };
  }
}

/** How many compressed bodies were inflated; none above the limit. */
function inflateAll(frames: readonly Frame[]): number {
  let inflated = 0;
  for (const frame of frames) {
    try {
      if (plainFrame(frame, inflateRaw, MAX_BODY_BYTES).body.length > MAX_BODY_BYTES) {
        throw new Error('a body above the limit');
      }
      if (isDeflated(frame)) inflated += 1;
    } catch (error) {
      if (!(error instanceof HalleyError)) throw error;
    }
  }
  return inflated;
}

/** The same bytes as one WebSocket message: what fills it exactly is the same frames. */
function asMessage(input: Buffer, whole: Outcome): void {
  const frames: Frame[] = [];
  let fault: string | undefined;
  try {
    decodeMessage(input, { maxBodyBytes: MAX_BODY_BYTES, version2: true }, frames);
  } catch (error) {
    if (!(error instanceof HalleyError)) throw error;
    fault = error.code;
  }
  // What is cut off at its end is a fault of a message, and none of a stream.
  const expected = { frames: whole.frames, fault: whole.fault ?? fault };
  if (!sameOutcome({ frames, fault }, expected)) expect({ frames, fault }).toEqual(expected);
}

function splitsOf(input: Buffer, random: Random): readonly (readonly number[])[] {
  const some = Array.from({ length: 1 + random.below(6) }, () => random.below(input.length + 1));
  const cuts = [...some.toSorted((a, b) => a - b), input.length];
  if (input.length > 200) return [cuts];
  return [cuts, Array.from(input, (_, index) => index + 1)];
}

/** A body of this message with some of its fields, as tables can say them. */
function aBody(message: Message<Fields>, random: Random): Uint8Array {
  return message.encode(aValue(message, random));
}

function aValue(message: Message<Fields>, random: Random): Record<string, never> {
  const value: Record<string, unknown> = {};
  for (const [name, { rule, kind }] of Object.entries(message.fields)) {
    if (random.below(3) === 0) continue;
    const one = (): unknown => {
      if ('fields' in kind) return aValue(kind as unknown as Message<Fields>, random);
      if (kind.zero === '') return random.bytes(random.below(9)).toString('hex');
      if (kind.zero === '0') return String(random.int32());
      if (typeof kind.zero === 'boolean') return true;
      return typeof kind.zero === 'number' ? random.int32() : random.bytes(random.below(9));
    };
    value[name] = rule === 'many' ? Array.from({ length: random.below(4) }, one) : one();
  }
  return value as Record<string, never>;
}

function count(seen: Record<string, number>, outcome: string): void {
  seen[outcome] = (seen[outcome] ?? 0) + 1;
}

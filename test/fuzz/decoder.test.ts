import { expect, test } from '@jest/globals';

import { decodeMessage, FrameDecoder, unpackRaw } from '@halley/protocol/decoder';
import { HalleyError } from '@halley/protocol/error';
import { encodeFrames, encodeRaw, type Frame } from '@halley/protocol/frame';

import { Random } from '../harness/random.js';

/** Looked up once: in jest each look-up of a global goes through the test's sandbox. */
const { max, min } = Math;
const INPUTS = 100_000;
const MAX_BODY_BYTES = 4096;
/** Inputs up to this length are cut at every point into two; longer ones at random points. */
const EVERY_SPLIT_UP_TO_BYTES = 48;

const seed = Number(process.env.HALLEY_FUZZ_SEED ?? Math.floor(Math.random() * 2 ** 31));

/** What an input gives: its frames, and the fault that ended them. */
interface Outcome {
  readonly frames: readonly Frame[];
  readonly fault: string | undefined;
}

test(`the decoder answers only frames or a HalleyError, the same for every split (HALLEY_FUZZ_SEED=${seed})`, () => {
  // A million faults are thrown: collecting their stacks would take most of the time.
  Error.stackTraceLimit = 0;
  const random = new Random(seed);
  const seen = { framesOnly: 0, frameThenFault: 0, faultOnly: 0 };
  for (let i = 0; i < INPUTS; i += 1) {
    const input = anInput(random);
    const whole = run(input, [input.length]);
    if (whole.fault === undefined) seen.framesOnly += 1;
    else if (whole.frames.length > 0) seen.frameThenFault += 1;
    else seen.faultOnly += 1;
    for (const cuts of splitsOf(input, random)) {
      const pieces = run(input, cuts);
      if (!sameOutcome(pieces, whole)) {
        // Only here is the expensive comparison worth it: it prints what differs.
        const at = { i, input: input.toString('hex'), cuts };
        expect({ ...at, ...pieces }).toEqual({ ...at, ...whole });
      }
    }
    message(input);
  }
  console.log(`decoder fuzz: seed ${seed}, ${INPUTS} inputs: ${JSON.stringify(seen)}`);
  // The generator reaches all three outcomes, so that the test can fail on each.
  for (const count of Object.values(seen)) expect(count).toBeGreaterThan(INPUTS / 50);
}, 120_000);

/** Feeds the input in the pieces that end at `cuts`, and checks the memory held after each. */
function run(input: Buffer, cuts: readonly number[]): Outcome {
  const decoder = new FrameDecoder({ maxBodyBytes: MAX_BODY_BYTES });
  const frames: Frame[] = [];
  let start = 0;
  let fault: string | undefined;
  try {
    for (const end of cuts) {
      decoder.push(input.subarray(start, end), frames);
      start = end;
      boundMemory(decoder, end);
    }
  } catch (error) {
    if (!(error instanceof HalleyError)) throw error;
    fault = error.code;
    boundMemory(decoder, 0);
  }
  return { frames, fault };
}

function boundMemory(decoder: FrameDecoder, arrivedBytes: number): void {
  const limit = min(max(64, 2 * decoder.pendingBytes), 16 + MAX_BODY_BYTES);
  if (decoder.pendingBytes > arrivedBytes || decoder.reservedBytes > limit) {
    throw new Error(
      `holds ${decoder.reservedBytes} bytes for ${decoder.pendingBytes} of ${arrivedBytes} arrived`,
    );
  }
}

/** The input as one message: frames that fill it exactly, or a HalleyError; batches within are unpacked. */
function message(input: Buffer): void {
  try {
    const frames = decodeMessage(input, { maxBodyBytes: MAX_BODY_BYTES });
    const bytes = frames.reduce((sum, frame) => sum + 16 + frame.body.length, 0);
    if (bytes !== input.length) throw new Error(`a message of ${input.length} bytes gave ${bytes}`);
    for (const frame of frames) unpackRaw(frame);
  } catch (error) {
    if (!(error instanceof HalleyError)) throw error;
  }
}

/** Random bytes, whole frames, batches, and frames with some bytes flipped, cut out, doubled or cut off. */
function anInput(random: Random): Buffer {
  if (random.below(8) === 0) return random.bytes(random.below(80));
  const frames: Frame[] = [];
  for (let count = random.below(4); count >= 0; count -= 1) {
    const bodyBytes = random.below(20) === 0 ? random.below(MAX_BODY_BYTES + 2) : random.below(24);
    frames.push({
      ver: random.int16(),
      op: random.below(4) === 0 ? random.int32() : random.below(20),
      seq: random.int32(),
      body: random.bytes(bodyBytes),
    });
  }
  let input: Buffer = Buffer.from(random.below(6) === 0 ? encodeRaw(frames) : encodeFrames(frames));
  for (let mutations = random.below(4); mutations > 0; mutations -= 1) input = mutate(input, random);
  return input;
}

function mutate(input: Buffer, random: Random): Buffer {
  if (input.length === 0) return input;
  const at = random.below(input.length);
  const end = min(input.length, at + 1 + random.below(20));
  switch (random.below(6)) {
    case 0:
      input[at] = random.below(256);
      return input;
    case 1:
      input[at] = (input[at] as number) ^ (1 << random.below(8));
      return input;
    case 2:
      return Buffer.concat([input.subarray(0, at), input.subarray(end)]);
    case 3:
      return Buffer.concat([input.subarray(0, end), input.subarray(at)]);
    case 4:
      return input.subarray(0, at);
    default:
      // The lengths that matter, over an aligned word.
      if (input.length >= 4) {
        const lengths = [-1, 0, 15, 16, 17, 4111, 4112, 4113, 2 ** 31 - 1, -(2 ** 31)];
        input.writeInt32BE(random.pick(lengths), min(at & ~3, input.length - 4));
      }
      return input;
  }
}

/** Ends of the pieces: short inputs at every point and byte by byte, all at a few random points. */
function* splitsOf(input: Buffer, random: Random): Generator<readonly number[]> {
  if (input.length <= EVERY_SPLIT_UP_TO_BYTES) {
    for (let cut = 0; cut <= input.length; cut += 1) yield [cut, input.length];
  }
  if (input.length <= 200) yield Array.from(input, (_, index) => index + 1);
  for (let tries = 0; tries < 2; tries += 1) {
    const cuts = Array.from({ length: 1 + random.below(6) }, () => random.below(input.length + 1));
    yield [...cuts.toSorted((a, b) => a - b), input.length];
  }
}

function sameOutcome(a: Outcome, b: Outcome): boolean {
  return (
    a.fault === b.fault &&
    a.frames.length === b.frames.length &&
    a.frames.every((frame, i) => sameFrame(frame, b.frames[i] as Frame))
  );
}

function sameFrame(a: Frame, b: Frame): boolean {
  return a.ver === b.ver && a.op === b.op && a.seq === b.seq && Buffer.compare(a.body, b.body) === 0;
}

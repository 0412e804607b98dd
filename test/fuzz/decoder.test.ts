import { expect, test } from '@jest/globals';

import { decodeMessage, FrameDecoder, unpackRaw } from '@halley/protocol/decoder';
import { HalleyError } from '@halley/protocol/error';
import type { Frame } from '@halley/protocol/frame';

import { Random } from '@halley/bench/random';
import { anInput, fuzzSeed, MAX_BODY_BYTES } from './inputs.js';
import { sameOutcome, type Outcome } from './outcome.js';

/** Looked up once: in jest each look-up of a global goes through the test's sandbox. */
const { max, min } = Math;
const INPUTS = 100_000;
/** Inputs up to this length are cut at every point into two; longer ones at random points. */
const EVERY_SPLIT_UP_TO_BYTES = 48;

const seed = fuzzSeed();

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

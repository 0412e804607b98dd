import { encodeFrames, encodeRaw, type Frame } from '@halley/protocol/frame';

import type { Random } from '@halley/bench/random';

/** The largest body that a client may send. */
export const MAX_BODY_BYTES = 4096;

/** Looked up once: in jest each look-up of a global goes through the test's sandbox. */
const { min } = Math;

/** HALLEY_FUZZ_SEED, to repeat a run, or a new one. */
export function fuzzSeed(): number {
  return Number(process.env.HALLEY_FUZZ_SEED ?? Math.floor(Math.random() * 2 ** 31));
}

/** Random bytes, whole frames, batches, and frames with some bytes flipped, cut out, doubled or cut off. */
export function anInput(random: Random): Buffer {
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

/** One change: bytes flipped, cut out, doubled or cut off, or a length that matters written over. May change `input`. */
export function mutate(input: Buffer, random: Random): Buffer {
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

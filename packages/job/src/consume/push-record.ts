import { codec, protos } from '@halley/cluster/grpc/protos';

import { decodeRecord, type Push } from './push-decoder.js';

export type { Push } from './push-decoder.js';

/** The value of a record of halley-push. */
export const recordCodec = codec(protos.halley.delivery.v1.Record);

/** A record holds at most this many pushes: a position is offset × 1,024 + index. */
export const MAX_PUSHES_PER_RECORD = 1_024;

/** Why a record is refused for good: a dead letter's reason. Holds nothing of the record: it is logged. */
export class BadRecord extends Error {
  constructor(
    readonly reason:
      | 'undecodable'
      | 'empty'
      | 'too_many_pushes'
      | 'too_large'
      | 'no_target'
      | 'unknown_type'
      | `webhook_${'gone' | 'refused' | 'late' | 'held_up'}`,
    /** More about it, in words that do not come from the record. */
    readonly detail = '',
  ) {
    super(`bad record: ${reason}`);
  }

  /** For bytes that the codec refused. What it says may hold some of them, so only its known words are kept. */
  static undecodable(error: unknown): BadRecord {
    const [words = ''] = (error instanceof Error && CODEC_WORDS.exec(error.message)) || [];
    return new BadRecord('undecodable', words);
  }
}

const CODEC_WORDS =
  /^(index out of range|invalid wire type|invalid varint encoding|max(?:imum nesting)? depth exceeded)/;

/** Decodes a record's pushes, in order. Throws {@link BadRecord}. */
export function decodePushes(value: Uint8Array): readonly Push[] {
  let pushes: readonly Push[];
  try {
    pushes = decodeRecord(value);
  } catch (error) {
    throw BadRecord.undecodable(error);
  }
  if (pushes.length === 0) throw new BadRecord('empty');
  if (pushes.length > MAX_PUSHES_PER_RECORD) throw new BadRecord('too_many_pushes');
  return pushes;
}

/** The position of a push in its partition. */
export function positionOf(offset: number, index: number): number {
  return offset * MAX_PUSHES_PER_RECORD + index;
}

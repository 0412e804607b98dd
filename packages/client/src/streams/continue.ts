import { GapReason, type Deliver } from '@halley/protocol/client/bodies';

/** Up to where a stream was handled. */
export interface StreamCursor {
  readonly epoch: string;
  /** −1 is nothing. */
  readonly position: number;
}

/**
 * What is missing in a stream, as the application is told. `retention`: no longer kept. `epoch`: the stream was begun anew,
 * positions before it mean nothing any more. `not resumed`: what came to everyone while there was no connection.
 */
export interface StreamGap {
  readonly stream: string;
  readonly reason: 'retention' | 'epoch' | 'not resumed' | 'unknown';
  readonly epoch: string;
  /** Positions in (after, through] may have been there, and will not come. */
  readonly after: number;
  readonly through: number;
}

/** How a frame goes on from a cursor. */
export type Continuation =
  /** Something is missing ahead of the frame, and nothing says so: nothing of it may be taken. */
  | { readonly name: 'hole' }
  /** Tell `gap`, if there is one, then take the entries above `from`. */
  | { readonly name: 'goes on'; readonly gap: StreamGap | undefined; readonly from: StreamCursor };

const HOLE: Continuation = { name: 'hole' };

const REASONS: Readonly<Record<number, StreamGap['reason']>> = {
  [GapReason.Retention]: 'retention',
  [GapReason.Epoch]: 'epoch',
};

/** The rules of ver2.md, "Delivering", for a frame of a stream that is kept and its cursor. */
export function continueFrom(cursor: StreamCursor, frame: Deliver): Continuation {
  const { stream, epoch, after, gap } = frame;
  const told = gap && { ...gap, stream, epoch, reason: REASONS[gap.reason] ?? 'unknown' };
  if (epoch !== cursor.epoch) {
    if (gap?.reason !== GapReason.Epoch) return HOLE;
    // Positions of the old epoch say nothing here.
    return bridged({ epoch, position: gap.through }, after, told);
  }
  if (!gap || gap.through <= cursor.position) return bridged(cursor, after, undefined);
  if (Math.min(after, gap.after) > cursor.position) return HOLE;
  return bridged({ epoch, position: gap.through }, after, told);
}

/** A stream that begins anew, at its end, with each connection: what is missing ahead of its first frame there. */
export function beginFrom(cursor: StreamCursor, { stream, epoch, after }: Deliver): Continuation {
  const from = { epoch, position: after };
  if (epoch === cursor.epoch && after <= cursor.position)
    return { name: 'goes on', gap: undefined, from: cursor };
  const missed = epoch === cursor.epoch ? cursor.position : -1;
  return {
    name: 'goes on',
    gap: { stream, epoch, reason: 'not resumed', after: missed, through: after },
    from,
  };
}

function bridged(from: StreamCursor, after: number, gap: StreamGap | undefined): Continuation {
  if (after > from.position) return HOLE;
  return { name: 'goes on', gap, from };
}

import type { StreamStart } from '../logic-link.js';
import { type Choice, Follower } from './follower.js';
import { HeartbeatSink } from './heartbeat-sink.js';
import type { Session } from './session.js';
import { AckedSink } from './v2/acked-sink.js';

/**
 * A follower of a stream, as the connection's version has it, to be opened. Nothing is read where nothing can have come
 * since the stream's end was looked up.
 */
export function follow(session: Session, choice: Choice, start: StreamStart): Follower {
  const { streams, sharedTexts } = session.deps;
  const atEnd = start.atEnd && !mayHaveMissed(session, start);
  const stream = streams.first(start.stream)?.stream ?? start.stream;
  const shared = { ...start, atEnd, stream, epoch: sharedTexts.of(start.epoch) };
  const sink = session.v2 ? new AckedSink(session, shared) : new HeartbeatSink(session, start.position);
  return new Follower(session, choice, shared, sink);
}

/** Whether something came of the stream while nobody here, or only others, followed it. */
function mayHaveMissed({ deps }: Session, { stream, epoch, position }: StreamStart): boolean {
  if (deps.earlyHints.missed(stream)) return true;
  const other = deps.streams.first(stream);
  return other !== undefined && (other.epoch !== epoch || other.newest > position);
}

import type { InspectedConnection } from '@halley/cluster/grpc/gen/halley/delivery/v1/InspectedConnection';
import type { InspectEntry__Output } from '@halley/cluster/grpc/gen/halley/delivery/v1/InspectEntry';
import type { InspectReply } from '@halley/cluster/grpc/gen/halley/delivery/v1/InspectReply';
import type { InspectRequest__Output } from '@halley/cluster/grpc/gen/halley/delivery/v1/InspectRequest';
import { HalleyError } from '@halley/protocol/error';

import type { Follower } from '../session/follower.js';
import type { StreamIndex } from '../session/stream-index.js';

export interface InspectDeps {
  readonly streams: Pick<StreamIndex, 'first'>;
  /** This start of the comet. */
  readonly incarnation: string;
}

/** Entries of one call. */
export const MAX_INSPECTED = 1_000;
/** Connections that one answer tells of one by one, over all its streams. */
const MAX_TOLD = 10_000;

/**
 * How far the connections that follow streams are with one entry of each: all are counted, some told of. Throws
 * `wrong_incarnation` and `invalid_argument`.
 */
export function inspect(
  request: InspectRequest__Output,
  { streams, incarnation }: InspectDeps,
): InspectReply {
  const { entries, max_connections: most } = request;
  if (request.comet_incarnation !== incarnation) throw new HalleyError('wrong_incarnation');
  if (entries.length > MAX_INSPECTED)
    throw new HalleyError('invalid_argument', `entries: ${entries.length}, more than ${MAX_INSPECTED}`);
  let told = 0;
  return {
    streams: entries.map((entry) => {
      const counts: Record<string, number> = {};
      const connections: InspectedConnection[] = [];
      const asked = askedOf(entry);
      for (let follower = streams.first(entry.stream); follower; follower = follower.streamNext) {
        const progress = follower.progressOf(asked);
        counts[progress] = (counts[progress] ?? 0) + 1;
        if (connections.length >= most || told >= MAX_TOLD) continue;
        const connection = connectionOf(follower, progress);
        if (!connection) continue;
        connections.push(connection);
        told += 1;
      }
      return { counts, connections };
    }),
  };
}

function askedOf({ epoch, position, keys, operation }: InspectEntry__Output) {
  return { epoch, position: Number(position), keys, operation };
}

function connectionOf(follower: Follower, state: string): InspectedConnection | undefined {
  const { about, left, had, live } = follower;
  if (!about) return undefined;
  const { mid, key, transport, version, connectedAtMs } = about;
  return {
    mid,
    key,
    state,
    transport,
    version,
    connected_at_ms: connectedAtMs,
    sent_position: left,
    acknowledged_position: had,
    live,
  };
}

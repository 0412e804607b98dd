import { codec, protos } from '@halley/cluster/grpc/protos';
import type { Proto__Output } from '@halley/cluster/grpc/gen/goim/protocol/Proto';
import type { Clock } from '@halley/service/clock';
import { Topic, type Bus } from '@halley/store/bus/bus';
import { v7 as uuidv7 } from 'uuid';

import type { LogicMetrics } from '../metrics.js';
import { invalid } from '../push/target.js';

/** The codec of the values of goim-receive-topic. */
export const upstreamCodec = codec(protos.halley.push.v1.Upstream);

/** What a client sent. */
export interface ClientMessage {
  readonly mid: string;
  /** Empty when the caller does not say (goim.logic.Logic). */
  readonly key: string;
  /** The comet that received it. */
  readonly server: string;
  readonly roomId: string;
  readonly proto: Proto__Output | null;
  /** The caller's id, the same when it repeats itself; a fresh one is given when empty. */
  readonly id?: string;
}

export interface UpstreamWriterDeps {
  readonly bus: Bus;
  readonly clock: Clock;
  readonly metrics: LogicMetrics;
}

/** Writes what clients send to the topic that the business reads. */
export class UpstreamWriter {
  constructor(private readonly deps: UpstreamWriterDeps) {}

  /** Answers the message's id once it is durable. Throws `invalid_argument`, and what the bus throws. */
  async receive({ mid, key, server, roomId, proto, ...given }: ClientMessage): Promise<string> {
    if (!proto) throw invalid('proto', 'is missing');
    const { bus, clock, metrics } = this.deps;
    const id = given.id || uuidv7();
    const value = upstreamCodec.encode({
      mid,
      key,
      server,
      room_id: roomId,
      proto,
      received_at_ms: clock.now(),
      id,
    });
    try {
      await bus.produce(Topic.Receive, [{ key: mid, value }]);
    } catch (error) {
      metrics.upstream.inc({ outcome: 'failed' });
      throw error;
    }
    metrics.upstream.inc({ outcome: 'ok' });
    return id;
  }
}

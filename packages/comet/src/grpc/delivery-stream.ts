import type { ServerDuplexStream } from '@grpc/grpc-js';
import type { DeliverReply } from '@halley/cluster/grpc/gen/halley/delivery/v1/DeliverReply';
import type { Delivery__Output } from '@halley/cluster/grpc/gen/halley/delivery/v1/Delivery';
import type { DeliverRequest__Output } from '@halley/cluster/grpc/gen/halley/delivery/v1/DeliverRequest';
import type { DeliveryServiceHandlers } from '@halley/cluster/grpc/gen/halley/delivery/v1/DeliveryService';
import type { PartitionBatch__Output } from '@halley/cluster/grpc/gen/halley/delivery/v1/PartitionBatch';
import { bidiStream, unary } from '@halley/cluster/grpc/handler';
import { HalleyError } from '@halley/protocol/error';
import type { Logger } from '@halley/service/log';

import type { CometMetrics } from '../comet-metrics.js';
import type { Deliverer } from '../delivery/deliverer.js';
import type { Fanout } from '../delivery/fanout.js';
import type { EarlyKicks } from '../session/early-kicks.js';
import type { SessionTable } from '../session/session-table.js';
import type { StreamIndex } from '../session/stream-index.js';
import { senderOf } from './sender.js';
import { inspect } from './inspect.js';
import { kick } from './kick.js';

export interface DeliveryDeps {
  readonly deliverer: Deliverer;
  readonly fanout: Fanout;
  readonly table: SessionTable;
  readonly streams: StreamIndex;
  readonly earlyKicks: EarlyKicks;
  readonly metrics: CometMetrics;
  readonly log: Logger;
  /** This start of the comet: calls that mean another are refused. Empty until it is known. */
  readonly incarnation: () => string;
  /** A job delivers from now on; what it would have told before is not known here. */
  readonly onJob: () => void;
}

/** How far a partition was had. */
interface Position {
  readonly topic: string;
  readonly partition: number;
  readonly position: number;
}

type Call = ServerDuplexStream<DeliverRequest__Output, DeliverReply>;

/** What job and logic call: the stream of deliveries, and Kick. */
export class DeliveryService {
  readonly #streams = new Set<Call>();
  readonly handlers: DeliveryServiceHandlers;

  constructor(deps: DeliveryDeps) {
    this.handlers = {
      Deliver: bidiStream<DeliverRequest__Output, DeliverReply>(async (call) => {
        this.#streams.add(call);
        await new DeliveryStream(call, deps).run().finally(() => this.#streams.delete(call));
      }),
      Kick: unary(async (request) => kick(request, { ...deps, incarnation: deps.incarnation() })),
      Inspect: unary(async (request) => inspect(request, { ...deps, incarnation: deps.incarnation() })),
    };
  }

  /** Ends the streams, which would hold the server open: nobody is left to deliver to. */
  end(): void {
    for (const stream of this.#streams) stream.end();
    this.#streams.clear();
  }
}

/**
 * One job's stream. Batches are taken as they come; while too much waits to be fanned out nothing is read, so that the
 * job's queue for this comet fills up and no other. Acknowledgements are cumulative and leave once a tick, after what
 * they speak of was written to the outboxes.
 */
export class DeliveryStream {
  #epoch: string | undefined;
  #ended = false;
  readonly #acks = new Map<string, Position>();
  #flushScheduled = false;

  constructor(
    private readonly call: Call,
    private readonly deps: DeliveryDeps,
  ) {}

  /** Resolves when the job ends the stream; throws what ends it with a status. */
  async run(): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.call.on('data', (request: DeliverRequest__Output) => {
        try {
          this.#take(request);
        } catch (error) {
          reject(error as Error);
        }
      });
      this.call.on('end', resolve);
      this.call.on('cancelled', resolve);
      this.call.on('error', () => resolve());
    }).finally(() => {
      this.#ended = true;
    });
  }

  #take({ hello, batches }: DeliverRequest__Output): void {
    if (this.#ended) return;
    if (hello) {
      const incarnation = this.deps.incarnation();
      if (hello.comet_incarnation !== incarnation) throw new HalleyError('wrong_incarnation');
      this.#epoch = hello.epoch;
      this.deps.log.info({ job: hello.job, epoch: hello.epoch }, 'a job delivers');
      this.deps.onJob();
      this.call.write({ welcome: { comet_incarnation: incarnation } });
      return;
    }
    if (this.#epoch === undefined)
      throw new HalleyError('invalid_argument', 'The first request must be a hello.');
    if (!batches) return;
    const touched = batches.batches.map((batch) => this.#deliver(this.#epoch as string, batch));
    this.deps.fanout.whenWritten(() => {
      for (const ack of touched) if (ack) this.#acknowledge(ack);
      this.#flushSoon();
    });
    this.#holdBack();
  }

  #deliver(epoch: string, { topic, partition, deliveries }: PartitionBatch__Output): Position | undefined {
    const origin = { epoch, topic, partition };
    let position = -1;
    for (const delivery of deliveries) {
      const delivered = deliveredOf(delivery);
      this.deps.deliverer.deliver(origin, delivered);
      position = Math.max(position, delivered.position);
    }
    this.deps.metrics.deliveries(deliveries.length);
    return position < 0 ? undefined : { topic, partition, position };
  }

  /** Reads nothing more until half of what may wait has been fanned out. */
  #holdBack(): void {
    const { fanout } = this.deps;
    if (fanout.backlogBytes < fanout.limits.maxTotalBacklogBytes / 2 || this.call.isPaused()) return;
    this.call.pause();
    fanout.whenWritten(() => this.call.resume());
  }

  /** A job that reads its partition again sends lower positions behind higher ones: the highest speaks for all. */
  #acknowledge(ack: Position): void {
    const name = `${ack.topic}/${ack.partition}`;
    if (ack.position > (this.#acks.get(name)?.position ?? -1)) this.#acks.set(name, ack);
  }

  #flushSoon(): void {
    if (this.#flushScheduled || this.#acks.size === 0) return;
    this.#flushScheduled = true;
    setImmediate(() => {
      this.#flushScheduled = false;
      if (this.#ended || this.#acks.size === 0) return;
      const acks = [...this.#acks.values()];
      this.#acks.clear();
      this.call.write({ acks: { acks } });
    });
  }
}

function deliveredOf(delivery: Delivery__Output): Parameters<Deliverer['deliver']>[1] {
  const { id, operation, body, keys, rooms, everyone, speed, source, streams, without_body } = delivery;
  return {
    position: Number(delivery.position),
    id,
    operation,
    body,
    acceptedAtMs: Number(delivery.accepted_at_ms),
    expireAtMs: Number(delivery.expire_at_ms),
    traceparent: delivery.traceparent,
    caller: delivery.caller,
    sender: senderOf(delivery.sender),
    control: delivery.control,
    keys,
    rooms,
    everyone,
    speed,
    source,
    streams: streams.map(({ stream, prev, keys: only }) => ({ stream, prev: Number(prev), keys: only })),
    withoutBody: without_body,
  };
}

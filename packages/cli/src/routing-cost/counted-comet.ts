import { EventEmitter } from 'node:events';

import { codec, protos } from '@halley/cluster/grpc/protos';
import type { DeliveryServiceClient } from '@halley/cluster/grpc/gen/halley/delivery/v1/DeliveryService';
import type { DeliverRequest } from '@halley/cluster/grpc/gen/halley/delivery/v1/DeliverRequest';
import type { NodeRecord } from '@halley/cluster/registry/registry';
import type { NodeId, NodeRef } from '@halley/protocol/ids';

const requests = codec(protos.halley.delivery.v1.DeliverRequest);

const INCARNATION = 'first';

/** A comet that welcomes every job, acknowledges at once, and counts what it is sent. */
export class CountedComet {
  readonly id: NodeId;
  messages = 0;
  bytes = 0;
  deliveries = 0;

  constructor(number: number) {
    // As long as names are in production: they are not sent, but the store has them.
    this.id = `comet-${String(number).padStart(3, '0')}.internal:3109` as NodeId;
  }

  get ref(): NodeRef {
    return { node: this.id, incarnation: INCARNATION };
  }

  get record(): NodeRecord {
    return {
      tier: 'comet',
      id: this.id,
      incarnation: INCARNATION,
      addresses: { grpc: this.id },
      hostname: this.id,
      region: '',
      zone: '',
      env: 'cost',
      weight: 10,
      publicAddresses: [],
      portOffset: 0,
      load: { connections: 0, ips: 0 },
      state: 'serving',
      version: '0.0.0',
      registeredAtMs: 0,
    };
  }

  /** What a job connects with: streams that end here, without a network. */
  client(): DeliveryServiceClient {
    const client = { deliver: () => new CountedStream(this), close: () => undefined };
    // A job uses these two of it.
    return client as unknown as DeliveryServiceClient;
  }

  forget(): void {
    this.messages = this.bytes = this.deliveries = 0;
  }
}

class CountedStream extends EventEmitter {
  constructor(private readonly comet: CountedComet) {
    super();
  }

  write(request: DeliverRequest): boolean {
    if (request.hello) this.#reply({ welcome: { comet_incarnation: INCARNATION } });
    if (!request.batches) return true;
    this.comet.messages += 1;
    this.comet.bytes += requests.encode(request).byteLength;
    const acks = (request.batches.batches ?? []).map(({ topic, partition, deliveries = [] }) => {
      this.comet.deliveries += deliveries.length;
      return { topic, partition, position: deliveries.at(-1)?.position };
    });
    this.#reply({ acks: { acks } });
    return true;
  }

  cancel(): void {}

  /** Not in the same turn, as over a network. */
  #reply(reply: object): void {
    setImmediate(() => this.emit('data', reply));
  }
}

import { call, createClient, type ClientDeps } from '@halley/cluster/grpc/client';
import type { KickRequest } from '@halley/cluster/grpc/gen/halley/delivery/v1/KickRequest';
import type { DeliveryServiceClient } from '@halley/cluster/grpc/gen/halley/delivery/v1/DeliveryService';
import { protos } from '@halley/cluster/grpc/protos';
import type { NodeRecord, TierView } from '@halley/cluster/registry/registry';
import { HalleyError } from '@halley/protocol/error';
import type { NodeRef } from '@halley/protocol/ids';

import type { CometCalls } from './kick.js';

export interface CometClientsDeps {
  readonly view: TierView;
  /** The registry's: a comet that left may still be there for two of them. */
  readonly sessionTimeoutMs: number;
  readonly client: ClientDeps;
}

interface Comet {
  readonly record: NodeRecord;
  client: DeliveryServiceClient | undefined;
  forget: NodeJS.Timeout | undefined;
}

/** A gRPC client for each comet of the registry, made when first needed. */
export class CometClients implements CometCalls {
  readonly #comets = new Map<string, Comet>();
  readonly #unwatch: () => void;

  constructor(private readonly deps: CometClientsDeps) {
    for (const record of deps.view.nodes()) this.#joined(record);
    this.#unwatch = deps.view.onChange(({ joined, changed, left }) => {
      for (const record of left) this.#left(record);
      for (const record of [...joined, ...changed]) this.#joined(record);
    });
  }

  async kick(at: NodeRef, request: KickRequest): Promise<number> {
    const comet = this.#comets.get(keyOf(at.node, at.incarnation));
    const target = comet?.record.addresses.grpc;
    if (!comet || target === undefined) return 0;
    comet.client ??= createClient(protos.halley.delivery.v1.DeliveryService, {
      ...this.deps.client,
      target,
    }) as DeliveryServiceClient;
    const { client } = comet;
    try {
      return (await call(client.Kick.bind(client), request)).closed;
    } catch (error) {
      if (error instanceof HalleyError && error.code === 'wrong_incarnation') return 0;
      if (comet.forget) return 0;
      throw error;
    }
  }

  close(): void {
    this.#unwatch();
    for (const comet of this.#comets.values()) this.#close(comet);
    this.#comets.clear();
  }

  #joined(record: NodeRecord): void {
    const key = keyOf(record.id, record.incarnation);
    const known = this.#comets.get(key);
    if (known && known.record.addresses.grpc === record.addresses.grpc) {
      clearTimeout(known.forget);
      known.forget = undefined;
      return;
    }
    if (known) this.#close(known);
    this.#comets.set(key, { record, client: undefined, forget: undefined });
  }

  #left(record: NodeRecord): void {
    const key = keyOf(record.id, record.incarnation);
    const comet = this.#comets.get(key);
    if (!comet) return;
    clearTimeout(comet.forget);
    comet.forget = setTimeout(() => {
      this.#close(comet);
      this.#comets.delete(key);
    }, 2 * this.deps.sessionTimeoutMs);
    comet.forget.unref();
  }

  #close(comet: Comet): void {
    clearTimeout(comet.forget);
    comet.client?.close();
  }
}

function keyOf(node: string, incarnation: string): string {
  return `${incarnation} ${node}`;
}

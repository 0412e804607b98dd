import { call, createClient, type ClientDeps } from '@halley/cluster/grpc/client';
import type { InspectedStream__Output } from '@halley/cluster/grpc/gen/halley/delivery/v1/InspectedStream';
import type { InspectRequest } from '@halley/cluster/grpc/gen/halley/delivery/v1/InspectRequest';
import type { KickRequest } from '@halley/cluster/grpc/gen/halley/delivery/v1/KickRequest';
import type { DeliveryServiceClient } from '@halley/cluster/grpc/gen/halley/delivery/v1/DeliveryService';
import { protos } from '@halley/cluster/grpc/protos';
import type { NodeRecord, TierView } from '@halley/cluster/registry/registry';
import { HalleyError } from '@halley/protocol/error';
import type { NodeRef } from '@halley/protocol/ids';

import type { CometLooks } from '../ledger/comets.js';
import type { CometCalls } from './kick.js';

export interface CometClientsDeps {
  readonly view: TierView;
  /** The registry's: a comet that left may still be there for two of them. */
  readonly sessionTimeoutMs: number;
  readonly client: ClientDeps;
}

/** Somebody waits for what became of a push: without the answer of one comet the rest is told. */
const INSPECT_DEADLINE_MS = 1_000;

interface Comet {
  readonly record: NodeRecord;
  client: DeliveryServiceClient | undefined;
  forget: NodeJS.Timeout | undefined;
}

/** A gRPC client for each comet of the registry, made when first needed. */
export class CometClients implements CometCalls, CometLooks {
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
    const reply = await this.#ask(at, (client) => call(client.Kick.bind(client), request));
    return reply?.closed ?? 0;
  }

  async inspect(at: NodeRef, request: InspectRequest): Promise<InspectedStream__Output[] | undefined> {
    const reply = await this.#ask(at, (client) =>
      call(client.Inspect.bind(client), request, { deadlineMs: INSPECT_DEADLINE_MS }),
    );
    return reply?.streams;
  }

  /** Undefined when this start of the comet is gone. */
  async #ask<Reply>(
    at: NodeRef,
    use: (client: DeliveryServiceClient) => Promise<Reply>,
  ): Promise<Reply | undefined> {
    const comet = this.#comets.get(keyOf(at.node, at.incarnation));
    const target = comet?.record.addresses.grpc;
    if (!comet || target === undefined) return undefined;
    comet.client ??= createClient(protos.halley.delivery.v1.DeliveryService, {
      ...this.deps.client,
      target,
    }) as DeliveryServiceClient;
    try {
      return await use(comet.client);
    } catch (error) {
      if (error instanceof HalleyError && error.code === 'wrong_incarnation') return undefined;
      if (comet.forget) return undefined;
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

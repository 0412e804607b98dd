import type { Clock } from '@halley/service/clock';

import type { NodeRecord, TierView, ViewChange } from '../registry/registry.js';

/** Watches whether a connection to one address works. */
export interface Probe {
  working(): boolean;
  close(): void;
}

export interface EndpointSetDeps {
  readonly view: TierView;
  /** How long a vanished node whose connection does not work stays: two session timeouts, in milliseconds. */
  readonly holdMs: number;
  readonly probe: (address: string) => Probe;
  readonly clock: Clock;
  /** Told of each change of the addresses. */
  readonly onChange: (addresses: readonly string[]) => void;
}

interface Held {
  readonly record: NodeRecord;
  readonly probe: Probe;
  lastWorkedMs: number;
}

/**
 * The gRPC addresses of a tier that calls go to: the registered nodes that serve, or the draining ones when no other
 * is there. A node that vanished without draining may only have lost its session: it stays while its connection works,
 * else for two session timeouts. Whoever replaced it by name or address ends that.
 */
export class EndpointSet {
  readonly #held = new Map<string, Held>();
  #addresses: readonly string[] = [];
  #unlisten: (() => void) | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(private readonly deps: EndpointSetDeps) {}

  /** Sorted, so that equal sets are equal. */
  get addresses(): readonly string[] {
    return this.#addresses;
  }

  open(): void {
    this.#unlisten = this.deps.view.onChange((change) => this.#onChange(change));
    this.#addresses = this.#choose();
  }

  close(): void {
    this.#unlisten?.();
    clearInterval(this.#timer);
    this.#timer = undefined;
    for (const { probe } of this.#held.values()) probe.close();
    this.#held.clear();
  }

  /** Lets go of vanished nodes whose time is over. Called by a timer while there are any. */
  check(): void {
    const nowMs = this.deps.clock.monotonicMs();
    for (const held of this.#held.values()) {
      if (held.probe.working()) held.lastWorkedMs = nowMs;
      else if (nowMs - held.lastWorkedMs >= this.deps.holdMs) this.#release(held.record.id);
    }
    this.#publish();
  }

  #onChange(change: ViewChange): void {
    for (const record of change.left) {
      const address = record.addresses.grpc;
      if (address === undefined || record.state === 'draining' || this.#held.has(record.id)) continue;
      const probe = this.deps.probe(address);
      this.#held.set(record.id, { record, probe, lastWorkedMs: this.deps.clock.monotonicMs() });
    }
    for (const { id, addresses } of this.deps.view.nodes()) {
      this.#release(id);
      for (const { record } of this.#held.values()) {
        if (record.addresses.grpc === addresses.grpc) this.#release(record.id);
      }
    }
    this.#timer ??= this.#held.size > 0 ? this.#everyNowAndThen() : undefined;
    this.#publish();
  }

  #release(id: string): void {
    this.#held.get(id)?.probe.close();
    this.#held.delete(id);
    if (this.#held.size === 0) {
      clearInterval(this.#timer);
      this.#timer = undefined;
    }
  }

  #everyNowAndThen(): NodeJS.Timeout {
    return setInterval(() => this.check(), Math.max(10, Math.min(1_000, this.deps.holdMs / 10))).unref();
  }

  #choose(): readonly string[] {
    const registered = this.deps.view.nodes();
    const held = [...this.#held.values()].map(({ record }) => record);
    const serving = [...registered.filter(({ state }) => state === 'serving'), ...held];
    const chosen = addressesOf(serving);
    return chosen.length > 0 ? chosen : addressesOf(registered);
  }

  #publish(): void {
    const addresses = this.#choose();
    if (addresses.join() === this.#addresses.join()) return;
    this.#addresses = addresses;
    this.deps.onChange(addresses);
  }
}

function addressesOf(records: readonly NodeRecord[]): readonly string[] {
  const addresses = records.map(({ addresses: { grpc } }) => grpc).filter((grpc) => grpc !== undefined);
  return [...new Set(addresses)].toSorted();
}

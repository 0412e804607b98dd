import { HalleyError } from '@halley/protocol/error';
import type { Logger } from '@halley/service/log';

import { LiveView } from './live-view.js';
import type { NodeRecord, Registration, Registry, Tier, TierView } from './registry.js';

interface Entry {
  readonly record: NodeRecord;
  readonly owner: EmbeddedRegistry;
}

/** What the embedded registries of one process share: the entries. Each registry stands for one process. */
export class EmbeddedHub {
  readonly #entries = new Map<string, Entry>();
  readonly #watchers = new Set<(tier: Tier) => void>();

  /** The nodes of a tier. */
  list(tier: Tier): NodeRecord[] {
    return [...this.#entries.values()].map(({ record }) => record).filter((record) => record.tier === tier);
  }

  /** The entry under the record's name, whoever wrote it. */
  find(record: NodeRecord): NodeRecord | undefined {
    return this.#entries.get(keyOf(record))?.record;
  }

  put(record: NodeRecord, owner: EmbeddedRegistry): void {
    this.#entries.set(keyOf(record), { record, owner });
    this.#tell(record.tier);
  }

  /** Removes the entry while it is still of this incarnation. */
  remove(record: NodeRecord): void {
    if (this.find(record)?.incarnation !== record.incarnation) return;
    this.#entries.delete(keyOf(record));
    this.#tell(record.tier);
  }

  /** Removes all that a process wrote, as the end of its session does. */
  endSession(owner: EmbeddedRegistry): void {
    for (const entry of this.#entries.values()) {
      if (entry.owner === owner) this.remove(entry.record);
    }
  }

  watch(watcher: (tier: Tier) => void): () => void {
    this.#watchers.add(watcher);
    return () => this.#watchers.delete(watcher);
  }

  #tell(tier: Tier): void {
    for (const watcher of this.#watchers) watcher(tier);
  }
}

export interface EmbeddedRegistryDeps {
  readonly log: Logger;
  /** Shared by registries that stand for several processes. Default: one of its own. */
  readonly hub?: EmbeddedHub;
  /** What `sessionTimeoutMs` says. Default 6,000. */
  readonly sessionTimeoutMs?: number;
}

/** The registry of a cluster that is one process. Changes are seen before the call that made them returns. */
export class EmbeddedRegistry implements Registry {
  readonly name = 'embedded registry';
  readonly sessionTimeoutMs: number;
  readonly #hub: EmbeddedHub;
  readonly #views = new Map<Tier, LiveView>();
  readonly #own = new Map<string, EmbeddedRegistration>();
  readonly #reregistered = new Set<() => void>();
  #unwatch: (() => void) | undefined;
  #state: 'new' | 'started' | 'stopped' = 'new';

  constructor(private readonly deps: EmbeddedRegistryDeps) {
    this.#hub = deps.hub ?? new EmbeddedHub();
    this.sessionTimeoutMs = deps.sessionTimeoutMs ?? 6_000;
  }

  async start(): Promise<void> {
    if (this.#state === 'started') return;
    this.#state = 'started';
    this.#unwatch = this.#hub.watch((tier) => this.#views.get(tier)?.replace(this.#hub.list(tier)));
  }

  async stop(_deadlineMs: number): Promise<void> {
    this.#state = 'stopped';
    this.#unwatch?.();
    this.#hub.endSession(this);
  }

  async register(record: NodeRecord): Promise<Registration> {
    this.#requireStarted();
    const registration = new EmbeddedRegistration(Object.freeze({ ...record }), this.#hub, this);
    this.#own.set(keyOf(record), registration);
    this.#hub.put(registration.record, this);
    return registration;
  }

  async watch(tier: Tier): Promise<TierView> {
    this.#requireStarted();
    let view = this.#views.get(tier);
    if (!view) {
      view = new LiveView(this.deps.log);
      this.#views.set(tier, view);
      view.replace(this.#hub.list(tier));
    }
    return view;
  }

  healthy(): boolean {
    return this.#state === 'started';
  }

  onReregistered(listener: () => void): () => void {
    this.#reregistered.add(listener);
    return () => this.#reregistered.delete(listener);
  }

  /** As an expired session: what this process wrote goes, and is then written again. For tests. */
  expireSession(): void {
    this.#hub.endSession(this);
    for (const registration of this.#own.values()) registration.writeAgain();
    for (const listener of this.#reregistered) listener();
  }

  #requireStarted(): void {
    if (this.#state !== 'started') {
      throw new HalleyError('registry_unavailable', 'The node registry is not started.');
    }
  }
}

class EmbeddedRegistration implements Registration {
  #deregistered = false;

  constructor(
    public record: NodeRecord,
    private readonly hub: EmbeddedHub,
    private readonly owner: EmbeddedRegistry,
  ) {}

  async update(fields: Partial<Pick<NodeRecord, 'load' | 'state' | 'weight'>>): Promise<void> {
    this.record = Object.freeze({ ...this.record, ...fields });
    if (this.#deregistered || this.hub.find(this.record)?.incarnation !== this.record.incarnation) return;
    this.hub.put(this.record, this.owner);
  }

  async deregister(): Promise<void> {
    this.#deregistered = true;
    this.hub.remove(this.record);
  }

  /** Unless it was removed on purpose, or another incarnation has taken the name. */
  writeAgain(): void {
    if (!this.#deregistered && !this.hub.find(this.record)) this.hub.put(this.record, this.owner);
  }
}

function keyOf(record: NodeRecord): string {
  return `${record.env}/${record.tier}/${record.id}`;
}

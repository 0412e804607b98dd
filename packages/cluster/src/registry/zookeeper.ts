import { HalleyError } from '@halley/protocol/error';
import type { Clock } from '@halley/service/clock';
import { systemClock } from '@halley/service/clock';
import type { Logger } from '@halley/service/log';

import type { RegistryConfig } from './config.js';
import type { NodeRecord, Registration, Registry, Tier, TierView } from './registry.js';
import { ZooKeeperEntry } from './zookeeper-entry.js';
import { ZooKeeperSession } from './zookeeper-session.js';
import { ZooKeeperWatch } from './zookeeper-watch.js';

export interface ZooKeeperRegistryDeps {
  readonly config: Pick<RegistryConfig, 'servers' | 'rootPath' | 'sessionTimeoutMs' | 'connectTimeoutMs'>;
  /** The deployment environment (`node.env`): nodes of others are not seen. */
  readonly env: string;
  readonly log: Logger;
  readonly clock?: Clock;
}

/**
 * The registry in ZooKeeper: an ephemeral node per process at `{rootPath}/{env}/{tier}/{nodeId}` (docs/registry.md).
 * A lost connection is made again, to another server when there is one. A session that is over, by the server's word or
 * because none was heard of for its timeout, is followed by a new one, in which all entries are written again.
 */
export class ZooKeeperRegistry implements Registry {
  readonly name = 'ZooKeeper registry';
  readonly #clock: Clock;
  readonly #entries = new Set<ZooKeeperEntry>();
  readonly #watches = new Map<Tier, ZooKeeperWatch>();
  readonly #reregistered = new Set<() => void>();
  readonly #waiting = new Set<() => void>();
  #state: 'new' | 'started' | 'stopped' = 'new';
  #session: ZooKeeperSession | undefined;
  /** Of the session that was connected last. */
  #sessionId: string | undefined;
  #sessionTimeoutMs: number;
  #heardMs = 0;
  #timer: NodeJS.Timeout | undefined;
  #beating = false;

  constructor(private readonly deps: ZooKeeperRegistryDeps) {
    this.#clock = deps.clock ?? systemClock;
    this.#sessionTimeoutMs = deps.config.sessionTimeoutMs;
  }

  /** What the servers granted; before the start, what is asked for. */
  get sessionTimeoutMs(): number {
    return this.#sessionTimeoutMs;
  }

  async start(): Promise<void> {
    const { connectTimeoutMs, servers } = this.deps.config;
    this.#state = 'started';
    this.#openSession();
    this.#timer = setInterval(() => void this.#beat(), this.deps.config.sessionTimeoutMs / 4);
    if (await this.#connectedWithin(connectTimeoutMs)) return;
    await this.stop(0);
    throw new HalleyError(
      'registry_unavailable',
      `No ZooKeeper answers at ${servers.join(', ')} within ${connectTimeoutMs} ms. Start it, or set registry.servers.`,
    );
  }

  async stop(deadlineMs: number): Promise<void> {
    this.#state = 'stopped';
    clearInterval(this.#timer);
    for (const watch of this.#watches.values()) watch.close();
    const session = this.#session;
    this.#session = undefined;
    await session?.close(Math.min(deadlineMs, 2_000));
  }

  async register(record: NodeRecord): Promise<Registration> {
    this.#requireStarted();
    const path = `${this.#tierPath(record.tier)}/${encodeName(record.id)}`;
    for (const earlier of this.#entries) {
      if (earlier.path === path) this.#entries.delete(earlier);
    }
    const entry = new ZooKeeperEntry(record, {
      path,
      session: () => this.#reached(),
      log: this.deps.log,
      onGone: () => this.#entries.delete(entry),
    });
    await this.#reachedOrThrow();
    await entry.sync();
    this.#entries.add(entry);
    return entry;
  }

  async watch(tier: Tier): Promise<TierView> {
    this.#requireStarted();
    let watch = this.#watches.get(tier);
    if (!watch) {
      watch = new ZooKeeperWatch({
        path: this.#tierPath(tier),
        session: () => this.#reached(),
        graceMs: () => this.#sessionTimeoutMs,
        log: this.deps.log,
      });
      this.#watches.set(tier, watch);
    }
    await this.#reachedOrThrow();
    await watch.refresh();
    return watch.view;
  }

  healthy(): boolean {
    return (
      this.#state === 'started' && this.#reached() !== undefined && this.#silentMs() < this.#sessionTimeoutMs
    );
  }

  onReregistered(listener: () => void): () => void {
    this.#reregistered.add(listener);
    return () => this.#reregistered.delete(listener);
  }

  #openSession(): void {
    this.#session?.abandon();
    this.#heardMs = this.#clock.monotonicMs();
    const { servers, sessionTimeoutMs } = this.deps.config;
    const session = new ZooKeeperSession({
      servers,
      sessionTimeoutMs,
      callTimeoutMs: Math.max(250, sessionTimeoutMs / 2),
      onConnected: () => this.#onConnected(session),
      onAway: () => this.#tellTrouble({}, 'ZooKeeper is away; what was known of the nodes holds'),
      onEnded: () => {
        if (session === this.#session) this.#renewSession('the session has expired');
      },
    });
    this.#session = session;
    session.connect();
  }

  #renewSession(reason: string): void {
    if (this.#state !== 'started') return;
    this.#tellTrouble({ reason }, 'a new session with ZooKeeper is opened');
    this.#openSession();
  }

  /** Until a server was reached once, nothing is lost, and a start that fails says why itself. */
  #tellTrouble(fields: object, message: string): void {
    this.deps.log[this.#sessionId === undefined ? 'debug' : 'warn'](fields, message);
  }

  #onConnected(session: ZooKeeperSession): void {
    if (session !== this.#session) return;
    const isNew = session.id !== this.#sessionId;
    const isFirst = this.#sessionId === undefined;
    this.#sessionId = session.id;
    this.#sessionTimeoutMs = session.timeoutMs;
    this.#heardMs = this.#clock.monotonicMs();
    for (const wake of this.#waiting) wake();
    this.deps.log.info({ session: session.id, isNew }, 'ZooKeeper is reached');
    if (isFirst) return;
    // The entries first: others should not miss this node for longer than it takes.
    this.#writeEntries()
      .then(() => this.#readWatches((watch) => watch.reread(isNew)))
      .catch((error: unknown) =>
        this.deps.log.warn({ err: error }, 'ZooKeeper is read and written again later'),
      );
  }

  /** Runs four times in a session timeout: hears whether the server lives, and mends what is not as it should be. */
  async #beat(): Promise<void> {
    const session = this.#session;
    if (!session || this.#beating) return;
    if (this.#silentMs() >= this.#sessionTimeoutMs) {
      this.#renewSession(`nothing was heard of ZooKeeper for ${Math.round(this.#silentMs())} ms`);
      return;
    }
    if (!session.connected) return;
    this.#beating = true;
    try {
      await session.exists(this.deps.config.rootPath);
      if (session === this.#session) this.#heardMs = this.#clock.monotonicMs();
      await this.#writeEntries();
      await this.#readWatches((watch) => watch.refresh());
    } catch (error) {
      this.deps.log.warn({ err: error }, 'ZooKeeper does not answer');
      if (session === this.#session && session.connected && this.#silentMs() >= this.#sessionTimeoutMs / 2) {
        session.changeServer();
      }
    } finally {
      this.#beating = false;
    }
  }

  async #writeEntries(): Promise<void> {
    const made = await Promise.all([...this.#entries].map((entry) => entry.sync()));
    if (!made.some(Boolean)) return;
    for (const listener of this.#reregistered) {
      try {
        listener();
      } catch (error) {
        this.deps.log.error({ err: error }, 'a listener of the node registry threw');
      }
    }
  }

  async #readWatches(read: (watch: ZooKeeperWatch) => Promise<void>): Promise<void> {
    await Promise.all([...this.#watches.values()].map(read));
  }

  #silentMs(): number {
    return this.#clock.monotonicMs() - this.#heardMs;
  }

  #reached(): ZooKeeperSession | undefined {
    return this.#session?.connected ? this.#session : undefined;
  }

  async #reachedOrThrow(): Promise<void> {
    if (await this.#connectedWithin(this.deps.config.connectTimeoutMs)) return;
    throw new HalleyError('registry_unavailable');
  }

  #connectedWithin(ms: number): Promise<boolean> {
    if (this.#reached()) return Promise.resolve(true);
    return new Promise((resolve) => {
      const end = (reached: boolean): void => {
        clearTimeout(timer);
        this.#waiting.delete(wake);
        resolve(reached);
      };
      const wake = (): void => end(true);
      const timer = setTimeout(() => end(false), ms);
      this.#waiting.add(wake);
    });
  }

  #requireStarted(): void {
    if (this.#state !== 'started') {
      throw new HalleyError('registry_unavailable', 'The node registry is not started.');
    }
  }

  #tierPath(tier: Tier): string {
    return `${this.deps.config.rootPath}/${this.deps.env}/${tier}`;
  }
}

/** A node's id as a name in ZooKeeper: what would be a path, or is not allowed there, is percent-encoded. */
export function encodeName(id: string): string {
  const name = id.replace(/[^\w.:@[\]-]/gu, (character) => encodeURIComponent(character));
  return name.replace(/^\.+$/, (dots) => dots.replaceAll('.', '%2E'));
}

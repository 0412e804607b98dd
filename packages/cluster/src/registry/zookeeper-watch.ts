import type { Logger } from '@halley/service/log';

import { LiveView } from './live-view.js';
import { decodeRecord } from './record-json.js';
import type { NodeRecord } from './registry.js';
import { ConflictError, type ZooKeeperSession } from './zookeeper-session.js';

export interface ZooKeeperWatchDeps {
  /** The tier's path. */
  readonly path: string;
  /** The session to read with; undefined while ZooKeeper is not reached. */
  readonly session: () => ZooKeeperSession | undefined;
  /** How long nodes may take to register again after an outage, in milliseconds. */
  readonly graceMs: () => number;
  readonly log: Logger;
}

/** Reads a tier's entries and follows their changes, one read at a time. While there is no session the view holds. */
export class ZooKeeperWatch {
  readonly view: LiveView;
  readonly #read = new Map<string, NodeRecord>();
  /** Nodes of before an outage that have not registered again yet. */
  readonly #kept = new Map<string, NodeRecord>();
  readonly #stale = new Set<string>();
  #listStale = true;
  #graceTimer: NodeJS.Timeout | undefined;
  #running: Promise<void> | undefined;

  constructor(private readonly deps: ZooKeeperWatchDeps) {
    this.view = new LiveView(deps.log);
  }

  /**
   * Reads everything again, after the connection was lost. When the session was lost too, so may others' have been:
   * nodes that are missing then stay for one more session timeout.
   */
  async reread(newSession: boolean): Promise<void> {
    this.#listStale = true;
    for (const name of this.#read.keys()) this.#stale.add(name);
    if (newSession && this.#read.size > 0) {
      for (const [name, record] of this.#read) this.#kept.set(name, record);
      this.#startGrace();
    }
    await this.refresh();
  }

  /** Resolves once all that was known to have changed has been read; rejects when it could not be. */
  refresh(): Promise<void> {
    this.#running ??= this.#readAll().finally(() => {
      this.#running = undefined;
    });
    return this.#running;
  }

  close(): void {
    clearTimeout(this.#graceTimer);
  }

  async #readAll(): Promise<void> {
    while (this.#listStale || this.#stale.size > 0) {
      const session = this.deps.session();
      if (!session) return;
      if (this.#listStale) await this.#readList(session);
      const names = [...this.#stale];
      await Promise.all(names.map((name) => this.#readNode(session, name)));
      this.#publish();
    }
  }

  async #readList(session: ZooKeeperSession): Promise<void> {
    this.#listStale = false;
    const names = await session.children(this.deps.path, this.#onList).catch(async (error: unknown) => {
      this.#listStale = true;
      // Somebody emptied ZooKeeper: make the path again, so that it can be watched.
      if (!(error instanceof ConflictError)) throw error;
      await session.makePath(this.deps.path);
      return undefined;
    });
    if (!names) return;
    const present = new Set(names);
    for (const name of this.#read.keys()) {
      if (!present.has(name)) this.#forget(name);
    }
    for (const name of names) {
      if (!this.#read.has(name)) this.#stale.add(name);
    }
  }

  async #readNode(session: ZooKeeperSession, name: string): Promise<void> {
    this.#stale.delete(name);
    try {
      const found = await session.read(`${this.deps.path}/${name}`, this.#onNode(name));
      const record = found && decodeRecord(found.data);
      if (found && !record) this.deps.log.warn({ path: this.deps.path, name }, 'an entry is no node');
      if (record) {
        this.#read.set(name, record);
        this.#kept.delete(name);
      } else this.#forget(name);
    } catch (error) {
      this.#stale.add(name);
      throw error;
    }
  }

  #forget(name: string): void {
    this.#read.delete(name);
    this.#stale.delete(name);
    this.#onNodes.delete(name);
  }

  #publish(): void {
    this.view.replace([...new Map([...this.#kept, ...this.#read]).values()]);
  }

  #startGrace(): void {
    clearTimeout(this.#graceTimer);
    this.#graceTimer = setTimeout(() => {
      // Away again: what is known of before still holds.
      if (!this.deps.session()) return this.#startGrace();
      this.#kept.clear();
      this.#publish();
    }, this.deps.graceMs()).unref();
  }

  /** The same function each time: the client adds it to a path's watchers once. */
  readonly #onList = (): void => {
    this.#listStale = true;
    this.#refreshSoon();
  };

  readonly #onNodes = new Map<string, () => void>();

  #onNode(name: string): () => void {
    let onChange = this.#onNodes.get(name);
    if (!onChange) {
      onChange = () => {
        this.#stale.add(name);
        this.#refreshSoon();
      };
      this.#onNodes.set(name, onChange);
    }
    return onChange;
  }

  #refreshSoon(): void {
    this.refresh().catch((error: unknown) => {
      this.deps.log.warn({ err: error, path: this.deps.path }, 'the node registry is read again later');
    });
  }
}

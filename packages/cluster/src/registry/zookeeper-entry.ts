import { HalleyError } from '@halley/protocol/error';
import type { Logger } from '@halley/service/log';

import { decodeRecord, encodeRecord } from './record-json.js';
import type { NodeRecord, Registration } from './registry.js';
import { ConflictError, type ZooKeeperSession } from './zookeeper-session.js';

export interface ZooKeeperEntryDeps {
  readonly path: string;
  /** The session to write with; undefined while ZooKeeper is not reached. */
  readonly session: () => ZooKeeperSession | undefined;
  readonly log: Logger;
  /** The entry is known to be gone. */
  readonly onGone: () => void;
}

/**
 * This process's own entry. An entry that is found in its place is
 * - of this session: written over;
 * - of the same incarnation, from an earlier session: replaced;
 * - of another incarnation: replaced by a start (`register`), as a name has one process. Afterwards the later start has
 *   the name, by `registeredAtMs`, then by incarnation: the earlier one gives up and says so in the log.
 */
export class ZooKeeperEntry implements Registration {
  readonly #path: string;
  #record: NodeRecord;
  #state: 'new' | 'present' | 'superseded' | 'leaving' | 'gone' = 'new';
  #turn: Promise<unknown> = Promise.resolve();

  constructor(
    record: NodeRecord,
    private readonly deps: ZooKeeperEntryDeps,
  ) {
    this.#record = Object.freeze({ ...record });
    this.#path = deps.path;
  }

  get record(): NodeRecord {
    return this.#record;
  }

  get path(): string {
    return this.#path;
  }

  async update(fields: Partial<Pick<NodeRecord, 'load' | 'state' | 'weight'>>): Promise<void> {
    this.#record = Object.freeze({ ...this.#record, ...fields });
    await this.sync().catch((error: unknown) => this.#putOff(error));
  }

  async deregister(): Promise<void> {
    if (this.#state !== 'gone') this.#state = 'leaving';
    await this.sync().catch((error: unknown) => this.#putOff(error));
  }

  /**
   * Makes ZooKeeper say what this process says, one attempt at a time; what changed meanwhile is written with the next.
   * Answers whether the entry had to be made. Does nothing while ZooKeeper is not reached.
   */
  sync(): Promise<boolean> {
    const run = this.#turn.then(async () => {
      const session = this.deps.session();
      if (!session || this.#state === 'gone' || this.#state === 'superseded') return false;
      for (let attempt = 0; attempt < 8; attempt += 1) {
        try {
          return this.#state === 'leaving' ? await this.#remove(session) : await this.#write(session);
        } catch (error) {
          if (!(error instanceof ConflictError)) throw error;
          if (error.conflict === 'no_node') await session.makePath(parentOf(this.#path));
        }
      }
      throw new HalleyError('registry_unavailable', `The entry ${this.#path} changes all the time.`);
    });
    this.#turn = run.catch(() => undefined);
    return run;
  }

  async #write(session: ZooKeeperSession): Promise<boolean> {
    const data = encodeRecord(this.#record);
    const found = await session.read(this.#path);
    if (!found) {
      await session.create(this.#path, data);
    } else if (found.owner === session.id) {
      if (!found.data.equals(data)) await session.write(this.#path, data, found.version);
    } else if (this.#state === 'new' || !this.#yieldsTo(decodeRecord(found.data))) {
      await session.replace(this.#path, data, found.version);
    } else {
      this.#state = 'superseded';
      this.deps.log.error({ path: this.#path }, 'another process has registered under the name of this node');
      return false;
    }
    if (this.#state === 'new') this.#state = 'present';
    return found?.owner !== session.id;
  }

  async #remove(session: ZooKeeperSession): Promise<boolean> {
    const found = await session.read(this.#path);
    const own = found && decodeRecord(found.data)?.incarnation === this.#record.incarnation;
    if (own) await session.remove(this.#path, found.version);
    this.#state = 'gone';
    this.deps.onGone();
    return false;
  }

  #yieldsTo(other: NodeRecord | undefined): boolean {
    const own = this.#record;
    if (!other || other.incarnation === own.incarnation) return false;
    if (other.registeredAtMs !== own.registeredAtMs) return other.registeredAtMs > own.registeredAtMs;
    return other.incarnation > own.incarnation;
  }

  /** What could not be written now is written when ZooKeeper is back. */
  #putOff(error: unknown): void {
    this.deps.log.warn({ err: error, path: this.#path }, 'the node registry is written to later');
  }
}

function parentOf(path: string): string {
  return path.slice(0, path.lastIndexOf('/'));
}

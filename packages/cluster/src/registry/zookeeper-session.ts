import type { Socket } from 'node:net';

import { HalleyError } from '@halley/protocol/error';
import {
  type Client,
  createClient,
  CreateMode,
  type Exception,
  Exception as Codes,
  State,
  type Stat,
} from 'node-zookeeper-client';

/** What a caller may meet and go on from; every other failure is `registry_unavailable`. */
export type Conflict = 'no_node' | 'node_exists' | 'bad_version';

/** A call that ZooKeeper refused because the data is not as the caller thought. */
export class ConflictError extends Error {
  constructor(readonly conflict: Conflict) {
    super(conflict);
  }
}

/** One node of ZooKeeper, as read. */
export interface Found {
  readonly data: Buffer;
  readonly version: number;
  /** Id of the session that it goes with. */
  readonly owner: string;
}

export interface ZooKeeperSessionDeps {
  readonly servers: readonly string[];
  readonly sessionTimeoutMs: number;
  /** Deadline of each call: the client's own calls wait for ever while no server is reached. */
  readonly callTimeoutMs: number;
  readonly onConnected: () => void;
  readonly onAway: () => void;
  /** The session is over: nothing can be done with it any more. */
  readonly onEnded: () => void;
}

/** What of the client's inside is needed to leave a server that does not answer. */
interface ClientInside {
  readonly connectionManager: { socket?: Socket; onSocketConnected: () => void };
}

/**
 * One session with ZooKeeper, which survives the loss of a connection but not its expiry. Every call has a deadline
 * and rejects with a {@link ConflictError} or `registry_unavailable`.
 */
export class ZooKeeperSession {
  readonly #client: Client;
  #state: 'connecting' | 'connected' | 'away' | 'closed' = 'connecting';

  constructor(private readonly deps: ZooKeeperSessionDeps) {
    this.#client = createClient(deps.servers.join(','), {
      sessionTimeout: deps.sessionTimeoutMs,
      spinDelay: 500,
      retries: 0,
    });
    this.#client.on('state', (state) => this.#onState(state));
  }

  get connected(): boolean {
    return this.#state === 'connected';
  }

  /** As in {@link Found.owner}. */
  get id(): string {
    return this.#client.getSessionId().toString('hex');
  }

  /** What the server granted, once connected. */
  get timeoutMs(): number {
    return this.#client.getSessionTimeout();
  }

  connect(): void {
    this.#client.connect();
  }

  /** Leaves the server for another one (or the same when there is only one); the session goes on. */
  changeServer(): void {
    this.#inside.socket?.destroy();
  }

  /** Ends without a goodbye: the server lets go of the session when it expires. */
  abandon(): void {
    this.#state = 'closed';
    this.#client.close();
    const inside = this.#inside;
    // A connection attempt that is waiting for its turn would otherwise come through and stay.
    inside.onSocketConnected = () => inside.socket?.destroy();
    inside.socket?.destroy();
  }

  /** Ends the session, and with it its entries, when a server answers within the deadline; else as `abandon`. */
  async close(deadlineMs: number): Promise<void> {
    if (this.#state === 'connected') {
      this.#state = 'closed';
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, deadlineMs);
        this.#client.once('disconnected', () => {
          clearTimeout(timer);
          resolve();
        });
        this.#client.close();
      });
    }
    this.abandon();
  }

  /** Makes the path and what is above it, as far as it is missing. */
  makePath(path: string): Promise<void> {
    return this.#call<void>((done) => this.#client.mkdirp(path, (error) => done(error)));
  }

  exists(path: string): Promise<boolean> {
    return this.#call((done) => this.#client.exists(path, (error, stat) => done(error, Boolean(stat))));
  }

  /** Names of the children; calls back once, at the next change of that list. */
  children(path: string, onChange: () => void): Promise<string[]> {
    return this.#call((done) => this.#client.getChildren(path, onChange, done));
  }

  /** Undefined when there is no such node. With `onChange`, calls back once, at its next change or removal. */
  async read(path: string, onChange?: () => void): Promise<Found | undefined> {
    try {
      return await this.#call<Found>((done) => {
        const answer = (error: Error | Exception | null, data: Buffer, stat: Stat): void => {
          if (error) done(error);
          else {
            const owner = stat.ephemeralOwner.toString('hex');
            done(null, { data: data ?? Buffer.alloc(0), version: stat.version, owner });
          }
        };
        if (onChange) this.#client.getData(path, onChange, answer);
        else this.#client.getData(path, answer);
      });
    } catch (error) {
      if (error instanceof ConflictError && error.conflict === 'no_node') return undefined;
      throw error;
    }
  }

  /**
   * Makes a node that goes with this session. It is written twice in one transaction, so that its version is not 0: the
   * client takes that for "any version" in the transaction of `replace`.
   */
  create(path: string, data: Buffer): Promise<void> {
    const make = this.#client.transaction().create(path, data, CreateMode.EPHEMERAL).setData(path, data);
    return this.#call<void>((done) => make.commit((error) => done(error)));
  }

  /** Writes a node of this session, when it is still at that version. */
  write(path: string, data: Buffer, version: number): Promise<void> {
    return this.#call<void>((done) => this.#client.setData(path, data, version, (error) => done(error)));
  }

  /** Removes a node, when it is still at that version. */
  remove(path: string, version: number): Promise<void> {
    return this.#call<void>((done) => this.#client.remove(path, version, (error) => done(error)));
  }

  /** Puts a node of this session in the place of one of another session, in one step, when that is still at that version. */
  replace(path: string, data: Buffer, version: number): Promise<void> {
    const swap = this.#client
      .transaction()
      .remove(path, version)
      .create(path, data, CreateMode.EPHEMERAL)
      .setData(path, data);
    return this.#call<void>((done) => swap.commit((error) => done(error)));
  }

  get #inside(): ClientInside['connectionManager'] {
    return (this.#client as unknown as ClientInside).connectionManager;
  }

  #onState(state: State): void {
    if (this.#state === 'closed') return;
    if (state === State.SYNC_CONNECTED) {
      this.#state = 'connected';
      this.deps.onConnected();
    } else if (state === State.DISCONNECTED) {
      this.#state = 'away';
      this.deps.onAway();
    } else if (state === State.EXPIRED || state === State.AUTH_FAILED) {
      this.#state = 'closed';
      this.deps.onEnded();
    }
  }

  #call<Result>(
    start: (done: (error: Error | Exception | null, result?: Result) => void) => void,
  ): Promise<Result> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(
        () => reject(unavailable('ZooKeeper did not answer in time.')),
        this.deps.callTimeoutMs,
      );
      start((error, result) => {
        clearTimeout(timer);
        if (error) reject(toError(error));
        else resolve(result as Result);
      });
    });
  }
}

function unavailable(message: string, cause?: unknown): HalleyError {
  return new HalleyError('registry_unavailable', message, { cause });
}

function toError(error: Error | Exception): Error {
  const code = 'code' in error ? error.code : undefined;
  if (code === Codes.NO_NODE) return new ConflictError('no_node');
  if (code === Codes.NODE_EXISTS) return new ConflictError('node_exists');
  if (code === Codes.BAD_VERSION) return new ConflictError('bad_version');
  return unavailable('ZooKeeper did not carry out a call.', error);
}

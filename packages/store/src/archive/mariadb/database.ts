import { readFileSync } from 'node:fs';

import { HalleyError } from '@halley/protocol/error';
import { Backoff } from '@halley/service/backoff';
import type { Logger } from '@halley/service/log';
import { Kysely, MysqlDialect, sql, type Transaction } from 'kysely';
import { createPool, type Connection, type Pool } from 'mysql2';

import { within } from '../../bus/within.js';
import type { ArchiveConfig } from '../config.js';
import { DeadlinePool } from './deadline-pool.js';
import { migrate } from './migrate.js';
import type { ArchiveTables, Queries } from './tables.js';

const PING_INTERVAL_MS = 1_000;
/** A start may wait for another node that is changing large tables. */
const MIGRATION_TIMEOUT_MS = 3_600_000;
/** Calls that wait for a connection; more are refused at once. */
const MAX_WAITING = 1_000;
/** A statement carries several bodies, each byte as two. */
const MIN_PACKET_BYTES = 8 * 1_048_576;

/** The database gave one of two transactions up, which can simply be repeated: deadlock, lock wait timeout, changed row. */
const REPEATABLE = new Set([1213, 1205, 1020]);

const SESSION = [
  // Without these a value that does not fit would be cut silently, and a backslash could end a string.
  "SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION'",
  // Gaps need no locks: what a transaction writes is nobody else's.
  'SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED',
];

/** What the database says of itself. */
interface Server {
  readonly version: string;
  /** Bytes of a statement. */
  readonly packet: number;
}

/**
 * The pool of connections to MariaDB or MySQL. Each call has a deadline, its wait for a connection included; what goes wrong
 * becomes `store_unavailable`, and whether a write that failed was carried out is then not known.
 */
export class ArchiveDatabase {
  readonly #pool: Pool;
  readonly #connections = new Set<Connection>();
  #pings: NodeJS.Timeout | undefined;
  #healthy = false;
  #away = false;
  #stopped = false;

  constructor(
    private readonly config: ArchiveConfig,
    private readonly log: Logger,
  ) {
    this.#pool = createPool({
      ...addressOf(config),
      connectionLimit: config.poolSize,
      queueLimit: MAX_WAITING,
      connectTimeout: config.callTimeoutMs,
      charset: 'utf8mb4',
      ...(config.tls && { ssl: config.tlsCaFile ? { ca: readFileSync(config.tlsCaFile, 'utf8') } : {} }),
    });
    this.#pool.on('connection', (connection) => this.#prepare(connection as unknown as Connection));
  }

  /** Connects, and makes or changes the tables. */
  async start(): Promise<void> {
    const where = this.address;
    let server: Server;
    try {
      server = await this.#ask();
    } catch (error) {
      await this.stop(0);
      throw new HalleyError('store_unavailable', `no MariaDB answers at ${where}: ${message(error)}`, {
        cause: error,
      });
    }
    const missing = unsupported(server.version);
    if (missing) {
      await this.stop(0);
      throw new HalleyError('bad_config', `archive.url: ${where} is ${server.version}; it takes ${missing}`);
    }
    if (server.packet < MIN_PACKET_BYTES) {
      await this.stop(0);
      throw new HalleyError(
        'bad_config',
        `archive.url: ${where} has a max_allowed_packet of ${server.packet} bytes; it takes ${MIN_PACKET_BYTES} or more`,
      );
    }
    try {
      await migrate(this.#before(performance.now() + MIGRATION_TIMEOUT_MS));
    } catch (error) {
      await this.stop(0);
      throw new HalleyError('store_unavailable', `no tables could be made in ${where}: ${message(error)}`, {
        cause: error,
      });
    }
    this.#healthy = true;
    this.#pings = setInterval(() => void this.#ping(), PING_INTERVAL_MS).unref();
  }

  async stop(deadlineMs: number): Promise<void> {
    clearInterval(this.#pings);
    this.#healthy = false;
    if (this.#stopped) return;
    this.#stopped = true;
    await within(new Promise<void>((resolve) => this.#pool.end(() => resolve())), deadlineMs);
    for (const connection of this.#connections) connection.destroy();
    this.#connections.clear();
  }

  healthy(): boolean {
    return this.#healthy;
  }

  /** Where it is, without the password. */
  get address(): string {
    const { host, port, database } = addressOf(this.config);
    return `${host}:${port}/${database}`;
  }

  /** Reads; each query for itself. */
  async read<Result>(work: (db: Queries) => Promise<Result>): Promise<Result> {
    return this.#call(work);
  }

  /** Reads several times from one and the same state. */
  async snapshot<Result>(work: (db: Transaction<ArchiveTables>) => Promise<Result>): Promise<Result> {
    return this.#call((db) =>
      db.transaction().setIsolationLevel('repeatable read').setAccessMode('read only').execute(work),
    );
  }

  /** All of it, or nothing. `work` may run several times. */
  async write<Result>(work: (db: Transaction<ArchiveTables>) => Promise<Result>): Promise<Result> {
    return this.#call((db) => db.transaction().execute(work));
  }

  async #call<Result>(work: (db: Queries) => Promise<Result>): Promise<Result> {
    const untilMs = performance.now() + this.config.callTimeoutMs;
    const backoff = new Backoff({ baseMs: 10, maxMs: 200 });
    for (;;) {
      try {
        return await work(this.#before(untilMs));
      } catch (error) {
        if (error instanceof HalleyError) throw error;
        if (REPEATABLE.has(errorNumber(error)) && performance.now() < untilMs) {
          // Two that meet again at once would stop each other again.
          await backoff.wait();
          continue;
        }
        this.log.debug({ err: error }, 'a call of the archive failed');
        throw new HalleyError('store_unavailable', 'The archive could not be reached. Repeat.', {
          cause: error,
        });
      }
    }
  }

  #before(untilMs: number): Queries {
    return new Kysely({ dialect: new MysqlDialect({ pool: new DeadlinePool(this.#pool, untilMs) }) });
  }

  async #ask(): Promise<Server> {
    const db = this.#before(performance.now() + this.config.callTimeoutMs);
    const { rows } = await sql<Server>`SELECT VERSION() AS version, @@max_allowed_packet AS packet`.execute(
      db,
    );
    return rows[0]!;
  }

  /** What every new connection is told, before the query that it was made for. */
  #prepare(connection: Connection): void {
    this.#connections.add(connection);
    connection.on('end', () => this.#connections.delete(connection));
    // The query that it is busy with is told; between queries the pool drops it.
    connection.on('error', () => this.#connections.delete(connection));
    for (const statement of SESSION) {
      connection.query(statement, (error) => {
        if (error) connection.destroy();
      });
    }
  }

  async #ping(): Promise<void> {
    try {
      await this.#ask();
      if (this.#stopped) return;
      if (this.#away) this.log.info('the archive is back');
      this.#away = false;
      this.#healthy = true;
    } catch (error) {
      if (this.#stopped) return;
      if (!this.#away) this.log.warn({ err: message(error) }, 'the archive is away');
      this.#away = true;
      this.#healthy = false;
    }
  }
}

function addressOf({ url }: ArchiveConfig) {
  let parsed: URL;
  try {
    parsed = new URL(url);
  } catch {
    throw new HalleyError('bad_config', 'archive.url is not a URL: mysql://USER:PASSWORD@HOST:PORT/DATABASE');
  }
  const database = decodeURIComponent(parsed.pathname.slice(1));
  if (!['mysql:', 'mariadb:'].includes(parsed.protocol) || !parsed.hostname || !database) {
    throw new HalleyError('bad_config', 'archive.url is not mysql://USER:PASSWORD@HOST:PORT/DATABASE');
  }
  return {
    host: parsed.hostname.replace(/^\[(.*)\]$/, '$1'),
    port: Number(parsed.port || 3306),
    user: decodeURIComponent(parsed.username),
    password: decodeURIComponent(parsed.password),
    database,
  };
}

/** What would do in place of an older version; undefined when it will do. */
export function unsupported(version: string): string | undefined {
  const [, major = '0', minor = '0'] = /(\d+)\.(\d+)/.exec(version.replace(/^5\.5\.5-/, '')) ?? [];
  const number = Number(major) * 100 + Number(minor);
  if (/mariadb/i.test(version)) return number < 1_006 ? 'MariaDB 10.6 or newer' : undefined;
  return number < 800 ? 'MySQL 8.0 or newer' : undefined;
}

function errorNumber(error: unknown): number {
  return (error as { readonly errno?: number }).errno ?? 0;
}

function message(error: unknown): string {
  return error instanceof Error ? error.message || error.constructor.name : String(error);
}

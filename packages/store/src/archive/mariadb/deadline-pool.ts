import type { MysqlPool, MysqlPoolConnection } from 'kysely';
import type { Pool, PoolConnection, QueryError } from 'mysql2';

type Callback<Value> = (error: unknown, value: Value) => void;

/**
 * A view of the pool for one call: nothing that it asks for takes longer than until `untilMs` (of performance.now()). A
 * connection whose query did is closed, as nobody knows what it answers next; the database rolls its transaction back.
 */
export class DeadlinePool implements MysqlPool {
  constructor(
    private readonly pool: Pool,
    private readonly untilMs: number,
  ) {}

  getConnection(callback: Callback<MysqlPoolConnection>): void {
    const nobody = undefined as unknown as MysqlPoolConnection;
    let over = false;
    const timer = setTimeout(() => {
      over = true;
      callback(new Error('no connection to the database became free in time'), nobody);
    }, this.#leftMs());
    this.pool.getConnection((error, connection) => {
      clearTimeout(timer);
      if (over) {
        if (!error) connection.release();
      } else if (error) callback(error, nobody);
      else callback(null, this.#limited(connection));
    });
  }

  /** The pool is not this call's to end. */
  end(callback: (error: unknown) => void): void {
    callback(null);
  }

  #limited(connection: PoolConnection): MysqlPoolConnection {
    const query = (sql: string, parameters: unknown[], callback: Callback<never>): void => {
      let settled = false;
      const timer = setTimeout(() => {
        settled = true;
        connection.destroy();
        callback(new Error('the database did not answer in time'), undefined as never);
      }, this.#leftMs());
      // The driver looks through the whole text for placeholders even where there is nothing to put in, unless told so.
      const values = parameters.length > 0 ? parameters : null;
      connection.query(sql, values, (error: QueryError | null, result: unknown) => {
        if (settled) return;
        settled = true;
        clearTimeout(timer);
        callback(error, result as never);
      });
    };
    return { query: query as MysqlPoolConnection['query'], release: () => connection.release() };
  }

  #leftMs(): number {
    return Math.max(0, this.untilMs - performance.now());
  }
}

import { readdirSync, readFileSync } from 'node:fs';

import { type Kysely, type Migration, Migrator, sql } from 'kysely';

/** SQL files are read from the sources, from which the compiled file lies as deep as this one. */
const MIGRATIONS = new URL('../../../src/archive/mariadb/migrations/', import.meta.url);

/**
 * Runs the migrations that the database has not seen, in the order of their names. Of several nodes that start at once one
 * runs them, under a lock of the database, and the others wait for it.
 */
export async function migrate<Tables>(db: Kysely<Tables>): Promise<void> {
  const migrator = new Migrator({
    db,
    provider: { getMigrations: async () => migrations() },
    migrationTableName: 'archive_migrations',
    migrationLockTableName: 'archive_migrations_lock',
  });
  const { error } = await migrator.migrateToLatest();
  if (error !== undefined) throw error;
}

function migrations(): Record<string, Migration> {
  const files = readdirSync(MIGRATIONS).filter((file) => file.endsWith('.sql'));
  return Object.fromEntries(
    files.map((file) => {
      const statements = readFileSync(new URL(file, MIGRATIONS), 'utf8').split(/;\s*$/m);
      const up = async (db: Kysely<unknown>): Promise<void> => {
        for (const statement of statements) if (statement.trim()) await sql.raw(statement).execute(db);
      };
      return [file.replace('.sql', ''), { up }];
    }),
  );
}

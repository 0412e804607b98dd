import { existsSync } from 'node:fs';
import { rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { fetchDebs } from './fetch-debs.js';
import { DEBS } from './pins.js';
import { probe } from './probe.js';
import { lastLines, run } from './run.js';
import { startOnPort, type RunningService, type StartOptions } from './running-service.js';

/** The empty database that is there after the start; `root` owns it, without a password. */
export const MARIADB_DATABASE = 'halley';

/** What a client of the service connects with. */
export function mariadbUrl(address: string, database = MARIADB_DATABASE): string {
  return `mysql://root@${address}/${database}`;
}

/** Starts MariaDB, without root; what it holds outlives a restart, and what it answered outlives a kill. About 115 MB of memory. */
export async function startMariadb(options: StartOptions = {}): Promise<RunningService> {
  const root = await fetchDebs(DEBS.mariadb, options.progress);
  const base = path.join(root, 'usr');
  const env = { ...process.env, LD_LIBRARY_PATH: path.join(base, 'lib/x86_64-linux-gnu') };
  return startOnPort('mariadb', options, async (dir, port) => {
    const common = [
      '--no-defaults',
      `--basedir=${base}`,
      `--datadir=${path.join(dir, 'data')}`,
      // In a folder that is shared one that starts removes the temporary tables of the others.
      `--tmpdir=${dir}`,
    ];
    // It refuses to run as root unless it is told so.
    if (process.getuid?.() === 0) common.push('--user=root');
    await makeSystemTables(base, dir, common, env);
    const init = path.join(dir, 'init.sql');
    await writeFile(init, `CREATE DATABASE IF NOT EXISTS ${MARIADB_DATABASE};\n`);
    return {
      name: 'MariaDB',
      file: path.join(base, 'sbin/mariadbd'),
      args: [
        ...common,
        `--port=${port}`,
        '--bind-address=127.0.0.1',
        '--skip-name-resolve',
        // In the data folder: an absolute path can be too long for a socket.
        '--socket=mariadb.sock',
        `--pid-file=${path.join(dir, 'mariadb.pid')}`,
        `--init-file=${init}`,
        `--lc-messages-dir=${path.join(base, 'share/mysql')}`,
        `--character-sets-dir=${path.join(base, 'share/mysql/charsets')}`,
        `--plugin-dir=${path.join(base, 'lib/mysql/plugin')}`,
        '--innodb-buffer-pool-size=64M',
        '--innodb-log-file-size=32M',
      ],
      cwd: dir,
      env,
      logFile: options.logFile ?? path.join(dir, 'mariadb.log'),
      ports: [port],
      // It greets with its version, once it takes queries.
      ready: () => probe(port, '', (answer) => answer.includes('MariaDB')),
    };
  });
}

/** Fills a new data folder; half of one is made again. */
async function makeSystemTables(
  base: string,
  dir: string,
  common: readonly string[],
  env: NodeJS.ProcessEnv,
): Promise<void> {
  const done = path.join(dir, 'data-is-made');
  if (existsSync(done)) return;
  await rm(path.join(dir, 'data'), { recursive: true, force: true });
  const made = await run(
    path.join(base, 'bin/mariadb-install-db'),
    [
      ...common,
      '--auth-root-authentication-method=normal',
      '--skip-name-resolve',
      '--skip-test-db',
      '--cross-bootstrap',
      '--innodb-log-file-size=32M',
    ],
    { cwd: dir, env },
  );
  if (made === 'missing' || made.code !== 0) {
    // It ends with a page of advice; what went wrong is said before.
    const errors = made === 'missing' ? [] : made.output.split('\n').filter((line) => /error/i.test(line));
    throw new Error(`MariaDB's data folder could not be made.\n${lastLines(errors.join('\n'))}`);
  }
  await writeFile(done, '');
}

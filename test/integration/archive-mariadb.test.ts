import { setTimeout as sleep } from 'node:timers/promises';

import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { silentLogger } from '@halley/service/log';
import { mariadbUrl, startMariadb } from '@halley/services/mariadb';
import type { RunningService } from '@halley/services/running-service';
import { archiveConfig } from '@halley/store/archive/config';
import { MariadbArchive } from '@halley/store/archive/mariadb';
import { unsupported } from '@halley/store/archive/mariadb/database';
import { MariadbLedger } from '@halley/store/ledger/mariadb';
import { MariadbDeadLetters } from '@halley/store/dead/mariadb';
import { MariadbReads } from '@halley/store/reads/mariadb';
import { MariadbSchedules } from '@halley/store/schedule/mariadb';
import { createConnection, type Connection } from 'mysql2/promise';

import { archiveContract } from '../../packages/store/src/archive/contract.js';
import {
  freshEpoch,
  historyOf,
  keeping,
  key,
  mid,
  readAll,
  retainAll,
  row,
  store,
} from '../../packages/store/src/archive/contract-fixture.js';
import { ledgerContract } from '../../packages/store/src/ledger/contract.js';
import { deadLettersContract } from '../../packages/store/src/dead/contract.js';
import { readsContract } from '../../packages/store/src/reads/contract.js';
import { schedulesContract } from '../../packages/store/src/schedule/contract.js';

const CALL_TIMEOUT_MS = 3_000;

function makeArchive(url: string, options: { readonly callTimeoutMs?: number } = {}): MariadbArchive {
  const config = archiveConfig.parse({ url, callTimeoutMs: CALL_TIMEOUT_MS, poolSize: 4, ...options });
  return new MariadbArchive({ config, log: silentLogger() });
}

let admin: Connection;
let databases = 0;

/** The URL of a new database on the MariaDB of the run. */
async function newDatabase(): Promise<string> {
  databases += 1;
  const name = `archive_${process.pid}_${databases}`;
  await admin.query(`CREATE DATABASE ${name}`);
  return mariadbUrl(process.env['HALLEY_TEST_MARIADB'] ?? 'HALLEY_TEST_MARIADB is not set', name);
}

async function ask<Row>(url: string, statement: string): Promise<Row[]> {
  const connection = await createConnection(url);
  const [rows] = await connection.query(statement);
  await connection.end();
  return rows as Row[];
}

beforeAll(async () => {
  admin = await createConnection(mariadbUrl(process.env['HALLEY_TEST_MARIADB'] ?? ''));
});
afterAll(() => admin.end());

async function startedArchive() {
  const archive = makeArchive(await newDatabase());
  await archive.start();
  return { database: archive.database, stop: () => archive.stop(1_000) };
}

archiveContract('MariaDB', async () => {
  const url = await newDatabase();
  const archive = makeArchive(url);
  await archive.start();
  const number = async (statement: string): Promise<number> =>
    Number((await ask<{ n: string | number | null }>(url, statement))[0]?.n ?? 0);
  return {
    archive,
    storedBytes: () =>
      number(`SELECT (SELECT COALESCE(SUM(LENGTH(body)), 0) FROM archive_bodies)
        + (SELECT COALESCE(SUM(COALESCE(LENGTH(body), 0) + 200), 0) FROM archive_entries) AS n`),
    sharedBodies: () => number('SELECT COUNT(*) AS n FROM archive_bodies'),
  };
});

readsContract('MariaDB', async () => {
  const archive = makeArchive(await newDatabase());
  await archive.start();
  return { reads: new MariadbReads(archive), close: () => archive.stop(1_000) };
});

ledgerContract('MariaDB', async () => {
  const archive = makeArchive(await newDatabase());
  await archive.start();
  return { ledger: new MariadbLedger(archive), close: () => archive.stop(1_000) };
});

deadLettersContract('MariaDB', async () => {
  const { database, stop } = await startedArchive();
  return { dead: new MariadbDeadLetters({ database }), close: stop };
});

schedulesContract('MariaDB', async () => {
  const url = await newDatabase();
  const archives = [makeArchive(url), makeArchive(url)];
  for (const archive of archives) await archive.start();
  let offsetMs = 0;
  const [schedules, other] = archives.map(
    ({ database }) => new MariadbSchedules({ database, clockOffsetMs: () => offsetMs }),
  );
  return {
    schedules: schedules!,
    other: other!,
    advance: (ms) => void (offsetMs += ms),
    close: async () => {
      for (const archive of archives) await archive.stop(1_000);
    },
  };
});

describe('an archive on MariaDB', () => {
  test('nodes that start at once make its tables once, and a later one finds them', async () => {
    const url = await newDatabase();
    const archives = [1, 2, 3, 4].map(() => makeArchive(url));
    await Promise.all(archives.map((archive) => archive.start()));
    const epoch = freshEpoch();
    await store(archives[0]!, epoch, [row('u/1', 1)]);
    expect(await readAll(archives[3]!, epoch, 'u/1')).toHaveLength(1);
    await Promise.all(archives.map((archive) => archive.stop(1_000)));
    const later = makeArchive(url);
    await later.start();
    expect(await later.watermark(0, epoch)).toBe(1);
    await later.stop(1_000);
    const ran = await ask<{ name: string }>(url, 'SELECT name FROM archive_migrations ORDER BY name');
    expect(ran.map(({ name }) => name)).toEqual([
      '001-archive',
      '002-senders',
      '003-read-positions',
      '004-schedules',
      '005-push-options',
      '006-ledger',
      '007-dead-letters',
      '008-dead-letter-sources',
      '009-endings',
    ]);
  });

  test('a migration that was interrupted halfway is repeated', async () => {
    const url = await newDatabase();
    const first = makeArchive(url);
    await first.start();
    await first.stop(1_000);
    await ask(url, 'DELETE FROM archive_migrations');
    await ask(url, 'DROP TABLE archive_bodies');
    const second = makeArchive(url);
    await second.start();
    expect(await second.watermark(0, freshEpoch())).toBe(-1);
    await second.stop(1_000);
    expect(await ask(url, "SHOW TABLES LIKE 'archive_bodies'")).toHaveLength(1);
  });

  test('a database of before messages had senders gets their columns, and keeps what it has', async () => {
    const url = await newDatabase();
    const first = makeArchive(url);
    await first.start();
    const epoch = freshEpoch();
    await store(first, epoch, [row('u/1', 1)]);
    await first.stop(1_000);
    await ask(url, 'ALTER TABLE archive_entries DROP COLUMN sender_mid, DROP COLUMN sender');
    await ask(url, "DELETE FROM archive_migrations WHERE name > '001-archive'");
    const second = makeArchive(url);
    await second.start();
    const sender = { mid: mid('7'), key: key('web'), clientId: 'c', toMid: mid('0') };
    await store(second, epoch, [row('u/1', 2, { sender })]);
    expect((await readAll(second, epoch, 'u/1')).map((entry) => entry.sender)).toEqual([undefined, sender]);
    await second.stop(1_000);
  });

  test('a start that cannot work says why', async () => {
    const url = await newDatabase();
    await expect(makeArchive(`${url}_is_not_there`).start()).rejects.toThrow(
      /^no MariaDB answers at 127\.0\.0\.1:\d+\/archive_\w+: Unknown database/,
    );
    await expect(makeArchive('mysql://root:secret@127.0.0.1:1/halley').start()).rejects.toThrow(
      /^no MariaDB answers at 127\.0\.0\.1:1\/halley: .*ECONNREFUSED/,
    );
    expect(() => makeArchive('postgres://localhost/halley')).toThrow('mysql://USER:PASSWORD@HOST');
  });

  test('archiving and retention of several nodes at once lose nothing and stop nobody', async () => {
    const url = await newDatabase();
    const [one, two] = [makeArchive(url), makeArchive(url)];
    await Promise.all([one.start(), two.start()]);
    const epoch = freshEpoch();
    const body = Buffer.alloc(400, 1);
    let busy = true;
    const retaining = [one, two].map(async (archive) => {
      while (busy) await archive.retain(keeping({ maxEntries: 5 }, { maxEntries: 20 }));
    });
    for (let batch = 0; batch < 40; batch += 1) {
      const rows = Array.from({ length: 60 }, (_, index) =>
        row(`u/${index % 12}`, batch * 5 + Math.floor(index / 12), { body }),
      );
      const from = batch * 5 - 1;
      expect(await one.store(epoch, [{ shard: 0, from, through: from + 5, entries: rows }])).toEqual([true]);
    }
    busy = false;
    await Promise.all(retaining);
    await retainAll(two, keeping({ maxEntries: 5 }, { maxEntries: 20 }));
    for (const stream of ['u/0', 'u/11']) {
      expect((await readAll(two, epoch, stream)).map(({ position }) => position)).toEqual([
        195, 196, 197, 198, 199,
      ]);
      expect(await historyOf(one, epoch, stream)).toEqual(
        Array.from({ length: 20 }, (_, index) => 180 + index),
      );
    }
    expect(await ask(url, 'SELECT COUNT(*) AS n FROM archive_bodies')).toEqual([{ n: 20 }]);
    await Promise.all([one.stop(1_000), two.stop(1_000)]);
  });

  test('a body of many streams and one of 8 MB are written within the limits of the database', async () => {
    const archive = makeArchive(await newDatabase(), { callTimeoutMs: 20_000 });
    await archive.start();
    const epoch = freshEpoch();
    const body = Buffer.alloc(100_000, 'x');
    const rows = Array.from({ length: 10_000 }, (_, index) => row(`u/${index}`, 1, { body }));
    await store(archive, epoch, rows);
    await store(archive, epoch, [row('u/1', 2, { body: Buffer.alloc(7_900_000, 1) })]);
    expect((await readAll(archive, epoch, 'u/1')).map((entry) => entry.body.byteLength)).toEqual([
      100_000, 7_900_000,
    ]);
    await archive.stop(1_000);
  });

  test('a database whose statements are too short is refused', async () => {
    const small = await startMariadb();
    const root = await createConnection(mariadbUrl(small.address));
    await root.query('SET GLOBAL max_allowed_packet = 4194304');
    await root.end();
    await expect(makeArchive(mariadbUrl(small.address)).start()).rejects.toThrow(
      /max_allowed_packet of 4194304 bytes; it takes 8388608 or more/,
    );
    await small.stop();
  });

  test('only versions that it works on are taken', () => {
    expect(unsupported('10.11.19-MariaDB-0+deb12u1')).toBeUndefined();
    expect(unsupported('5.5.5-10.6.1-MariaDB')).toBeUndefined();
    expect(unsupported('10.5.9-MariaDB')).toBe('MariaDB 10.6 or newer');
    expect(unsupported('8.0.36')).toBeUndefined();
    expect(unsupported('5.7.44-log')).toBe('MySQL 8.0 or newer');
  });
});

describe('an archive whose MariaDB goes away', () => {
  let mariadb: RunningService;
  let archive: MariadbArchive;
  const epoch = freshEpoch();

  beforeAll(async () => {
    mariadb = await startMariadb();
    archive = makeArchive(mariadbUrl(mariadb.address), { callTimeoutMs: 500 });
    await archive.start();
  });
  afterAll(async () => {
    await archive.stop(1_000);
    await mariadb.stop();
  });

  const untilHealthy = async (healthy: boolean): Promise<void> => {
    for (let i = 0; i < 200 && archive.healthy() !== healthy; i += 1) await sleep(50);
    expect(archive.healthy()).toBe(healthy);
  };

  /** Freezes it; on a busy machine it still answers for a moment. */
  const freeze = async (): Promise<void> => {
    mariadb.pause();
    const answers = () =>
      archive.watermark(0, epoch).then(
        () => true,
        () => false,
      );
    for (let i = 0; i < 100 && (await answers()); i += 1) await sleep(10);
  };

  test('fails until it is back, and then has what it had answered', async () => {
    await store(archive, epoch, [row('u/1', 1)]);
    await mariadb.kill();
    await expect(readAll(archive, epoch, 'u/1')).rejects.toMatchObject({ code: 'store_unavailable' });
    await untilHealthy(false);
    await mariadb.start();
    await untilHealthy(true);
    await store(archive, epoch, [row('u/1', 2)]);
    expect((await readAll(archive, epoch, 'u/1')).map(({ position }) => position)).toEqual([1, 2]);
  });

  test('answers within the deadline while it hangs, also when all connections are busy', async () => {
    await freeze();
    const started = performance.now();
    const calls = Array.from({ length: 20 }, () => archive.watermark(0, epoch));
    const settled = await Promise.allSettled(calls);
    expect(performance.now() - started).toBeLessThan(2_000);
    expect(settled.every(({ status }) => status === 'rejected')).toBe(true);
    await untilHealthy(false);
    mariadb.resume();
    await untilHealthy(true);
    expect(await archive.watermark(0, epoch)).toBe(2);
  });

  test('a batch that was answered with an error is archived once when it is repeated', async () => {
    const batch = { shard: 7, from: -1, through: 3, entries: [row('u/7', 3)] };
    await freeze();
    await expect(archive.store(epoch, [batch])).rejects.toMatchObject({ code: 'store_unavailable' });
    mariadb.resume();
    await untilHealthy(true);
    if ((await archive.watermark(7, epoch)) === -1)
      expect(await archive.store(epoch, [batch])).toEqual([true]);
    expect((await readAll(archive, epoch, 'u/7')).map(({ position }) => position)).toEqual([3]);
  });
});

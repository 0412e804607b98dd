import { randomUUID } from 'node:crypto';
import { mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { cacheRoot } from './cache.js';
import { download, fetchJars } from './fetch-jars.js';
import { downloadDebs, fetchDebs } from './fetch-debs.js';
import { startKafka } from './kafka.js';
import { startMariadb } from './mariadb.js';
import { CHECKSUMS_FILE, DEBS, JARS, sha256 } from './pins.js';
import { startRedis } from './redis.js';
import { startZooKeeper } from './zookeeper.js';

const USAGE = `usage: node scripts/services/dist/main.js fetch|up|pin
  fetch  fetches Kafka, ZooKeeper, Redis, MariaDB, nginx and Chromium into ${cacheRoot()}
  up     starts Kafka, ZooKeeper, Redis and MariaDB on free ports until Ctrl-C
  pin    records the checksums of what the versions in pins.ts resolve to now
`;

const say = (line: string): void => void process.stdout.write(`${line}\n`);

async function fetchAll(): Promise<void> {
  for (const set of Object.values(JARS)) say(await fetchJars(set, say));
  for (const set of Object.values(DEBS)) say(await fetchDebs(set, say));
}

async function up(): Promise<void> {
  const dir = path.join(os.tmpdir(), `halley-services-${randomUUID()}`);
  const services = await Promise.all([
    startKafka({ dir: path.join(dir, 'kafka'), progress: say }),
    startZooKeeper({ dir: path.join(dir, 'zookeeper'), progress: say }),
    startRedis({ dir: path.join(dir, 'redis'), progress: say }),
    startMariadb({ dir: path.join(dir, 'mariadb'), progress: say }),
  ]);
  for (const service of services) say(`${service.name} ${service.address} (process ${service.pid})`);
  await new Promise<void>((resolve) => {
    const keepAlive = setInterval(() => {}, 60_000);
    const end = (): void => {
      clearInterval(keepAlive);
      resolve();
    };
    process.once('SIGINT', end).once('SIGTERM', end);
  });
  await Promise.all(services.map((service) => service.stop()));
  await rm(dir, { recursive: true, force: true });
}

async function pin(): Promise<void> {
  const checksums: Record<string, Record<string, string>> = {};
  for (const set of Object.values(JARS)) {
    const dir = path.join(os.tmpdir(), `halley-pin-${randomUUID()}`);
    await mkdir(dir);
    await download(set, dir);
    const jars = (await readdir(dir)).filter((file) => file.endsWith('.jar')).sort();
    const sums: Record<string, string> = {};
    for (const jar of jars) sums[jar] = await sha256(path.join(dir, jar));
    checksums[set.folder] = sums;
    await rm(dir, { recursive: true });
  }
  for (const set of Object.values(DEBS)) {
    const dir = path.join(os.tmpdir(), `halley-pin-${randomUUID()}`);
    await mkdir(dir);
    const debs = await downloadDebs(set, dir);
    checksums[set.folder] = Object.fromEntries(debs.map((deb) => [deb.file, deb.sha256]));
    await rm(dir, { recursive: true });
  }
  await writeFile(CHECKSUMS_FILE, `${JSON.stringify(checksums, null, 2)}\n`);
}

const commands: Record<string, () => Promise<void>> = { fetch: fetchAll, up, pin };
const command = commands[process.argv[2] ?? ''];
if (!command) {
  process.stderr.write(USAGE);
  process.exitCode = 1;
} else {
  await command().catch((error: unknown) => {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
    process.exitCode = 1;
  });
}

import { createHash } from 'node:crypto';
import { createReadStream, readFileSync } from 'node:fs';
import { pipeline } from 'node:stream/promises';

/** What Maven fetches, by coordinates; what these need comes along. Every jar's checksum is in checksums.json. */
export const JARS = {
  kafka: {
    title: 'Kafka 4.3.1',
    folder: 'kafka-4.3.1',
    coordinates: ['org.apache.kafka:kafka_2.13:4.3.1', 'org.slf4j:slf4j-simple:1.7.36'],
    megabytes: 45,
  },
  zookeeper: {
    title: 'ZooKeeper 3.9.5',
    folder: 'zookeeper-3.9.5',
    coordinates: [
      'org.apache.zookeeper:zookeeper:3.9.5',
      'io.dropwizard.metrics:metrics-core:4.1.12.1',
      'org.xerial.snappy:snappy-java:1.1.10.5',
      'org.slf4j:slf4j-simple:2.0.13',
    ],
    megabytes: 8,
  },
} as const;

/**
 * What apt fetches, by package name. Debian replaces a package's point version with the next security fix and serves
 * only the newest, so an exact version can't be pinned for long: a file that checksums.json knows must have that
 * checksum; a newer one is checked against the index that apt verified with Debian's signature.
 */
export const DEBS = {
  redis: {
    title: 'Redis 7.0',
    folder: 'redis-7.0',
    // redis-server holds a link into redis-tools; the others are its libraries.
    packages: [
      'redis-server',
      'redis-tools',
      'libjemalloc2',
      'liblzf1',
      'libatomic1',
      'libhiredis0.14',
      'liblua5.1-0',
      'lua-bitop',
      'lua-cjson',
    ],
    megabytes: 2,
  },
  mariadb: {
    title: 'MariaDB 10.11',
    folder: 'mariadb-10.11',
    // The server without Debian's service around it, the script that makes a data folder, and their libraries.
    packages: ['mariadb-server-core', 'mariadb-client-core', 'libaio1', 'libnuma1', 'liburing2'],
    megabytes: 8,
  },
  nginx: {
    title: 'nginx 1.22',
    folder: 'nginx-1.22',
    packages: ['nginx', 'nginx-common', 'libnginx-mod-stream'],
    megabytes: 1,
  },
} as const;

export type JarSet = (typeof JARS)[keyof typeof JARS];
export type DebSet = (typeof DEBS)[keyof typeof DEBS];

/** sha256 in hex by folder of the cache and file name. */
export type Checksums = Readonly<Record<string, Readonly<Record<string, string>>>>;

/** Where the checksums of everything that is fetched are recorded. */
export const CHECKSUMS_FILE = new URL('../checksums.json', import.meta.url);

export function recordedChecksums(): Checksums {
  return JSON.parse(readFileSync(CHECKSUMS_FILE, 'utf8')) as Checksums;
}

/** sha256 of a file in hex. */
export async function sha256(file: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(file), hash);
  return hash.digest('hex');
}

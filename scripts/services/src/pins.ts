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
  chromium: {
    title: 'Chromium',
    // Not a version: Debian follows Chromium's releases within its own.
    folder: 'chromium-debian-12',
    // The shell without windows, its libraries but for those of the C and C++ runtimes, and two families of fonts.
    packages: [
      'chromium-common',
      'chromium-headless-shell',
      'fonts-dejavu-core',
      'fonts-inter',
      'libasound2',
      'libasyncns0',
      'libatk1.0-0',
      'libatspi2.0-0',
      'libblkid1',
      'libbrotli1',
      'libbsd0',
      'libcap2',
      'libdav1d6',
      'libdbus-1-3',
      'libdouble-conversion3',
      'libdrm2',
      'libexpat1',
      'libffi8',
      'libflac12',
      'libfontconfig1',
      'libfreetype6',
      'libgbm1',
      'libgcrypt20',
      'libglib2.0-0',
      'libgpg-error0',
      'libgraphite2-3',
      'libharfbuzz-subset0',
      'libharfbuzz0b',
      'libjpeg62-turbo',
      'liblcms2-2',
      'liblz4-1',
      'liblzma5',
      'libmd0',
      'libminizip1',
      'libmount1',
      'libmp3lame0',
      'libmpg123-0',
      'libnspr4',
      'libnss3',
      'libogg0',
      'libopenh264-7',
      'libopenjp2-7',
      'libopus0',
      'libpcre2-8-0',
      'libpng16-16',
      'libpulse0',
      'libselinux1',
      'libsndfile1',
      'libsystemd0',
      'libudev1',
      'libvorbis0a',
      'libvorbisenc2',
      'libwayland-server0',
      'libx11-6',
      'libx11-xcb1',
      'libxau6',
      'libxcb1',
      'libxcomposite1',
      'libxdamage1',
      'libxdmcp6',
      'libxext6',
      'libxfixes3',
      'libxi6',
      'libxkbcommon0',
      'libxnvctrl0',
      'libxrandr2',
      'libxrender1',
      'libzstd1',
      'zlib1g',
    ],
    megabytes: 115,
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

import path from 'node:path';
import { isCached } from './cache.js';
import { DEBS, JARS } from './pins.js';
import { run } from './run.js';

/** The machine lacks something that the user has to install; the message is one line that says what. */
export class RequirementError extends Error {
  override readonly name = 'RequirementError';
}

/**
 * Throws `RequirementError` when the machine lacks what Kafka (unless it is not wanted), ZooKeeper and Redis need to run,
 * or, where they are not in the cache yet, to be fetched. Changes nothing.
 */
export async function requireServices({ kafka = true }: { readonly kafka?: boolean } = {}): Promise<void> {
  await requireJava();
  const jars = kafka ? Object.values(JARS) : [JARS.zookeeper];
  if (!jars.every(({ folder }) => isCached(folder))) await requireMaven();
  if (!isCached(DEBS.redis.folder)) await requireApt();
}

/** The services are fetched as Linux x64 binaries. */
export function requireLinuxX64(platform: string = process.platform, arch: string = process.arch): void {
  if (platform === 'linux' && arch === 'x64') return;
  throw new RequirementError(
    `The real services run on Linux x64 only, this is ${platform} ${arch}. \`npm start\` runs everywhere.`,
  );
}

/** The `java` to run with, of `JAVA_HOME` or the path, 17 or newer. */
export async function requireJava(env: NodeJS.ProcessEnv = process.env): Promise<string> {
  requireLinuxX64();
  const java = env['JAVA_HOME'] ? path.join(env['JAVA_HOME'], 'bin', 'java') : 'java';
  const answer = await run(java, ['-version'], { env });
  if (answer === 'missing' || answer.code !== 0) {
    throw new RequirementError(
      `Kafka and ZooKeeper need Java 17 or newer, and ${java} is not there: install it (Debian: apt-get install openjdk-17-jre-headless).`,
    );
  }
  const version = javaMajor(answer.output);
  if (version !== undefined && version < 17) {
    throw new RequirementError(
      `Kafka and ZooKeeper need Java 17 or newer, ${java} is ${version}: install it (Debian: apt-get install openjdk-17-jre-headless) or set JAVA_HOME.`,
    );
  }
  return java;
}

/** The major version in the output of `java -version`; undefined when it says none. */
export function javaMajor(output: string): number | undefined {
  const match = /version "(?:1\.)?(\d+)/.exec(output);
  return match ? Number(match[1]) : undefined;
}

/** Maven fetches Kafka and ZooKeeper. */
export async function requireMaven(env: NodeJS.ProcessEnv = process.env): Promise<string> {
  const answer = await run('mvn', ['-v'], { env });
  if (answer !== 'missing' && answer.code === 0) return 'mvn';
  throw new RequirementError(
    'Fetching Kafka and ZooKeeper needs Maven, and `mvn` is not there: install it (Debian: apt-get install maven).',
  );
}

/** apt-get and dpkg fetch and unpack Redis, MariaDB, nginx and Chromium; neither needs root for that. */
export async function requireApt(env: NodeJS.ProcessEnv = process.env): Promise<void> {
  requireLinuxX64();
  for (const tool of ['apt-get', 'dpkg']) {
    if ((await run(tool, ['--version'], { env })) === 'missing') {
      throw new RequirementError(
        `Redis, MariaDB, nginx and Chromium are fetched from Debian's packages, and \`${tool}\` is not there: run this on Debian 12 or in a container of it.`,
      );
    }
  }
}

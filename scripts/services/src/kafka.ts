import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { freePort } from './free-port.js';
import { fetchJars } from './fetch-jars.js';
import { JARS } from './pins.js';
import { probe } from './probe.js';
import { requireJava } from './requirements.js';
import { lastLines, run } from './run.js';
import { startOnPort, type RunningService, type StartOptions } from './running-service.js';

const QUICK_START = ['-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1'];
const LOGGING = [
  '-Dorg.slf4j.simpleLogger.defaultLogLevel=warn',
  '-Dorg.slf4j.simpleLogger.showDateTime=true',
];
const JOINED_WITHIN_MS = 60_000;

export interface KafkaOptions extends StartOptions {
  /** Which of several brokers that belong together it is. Alone when not given. */
  readonly member?: KafkaMember;
}

/** One of several brokers, each of which is a controller too. */
export interface KafkaMember {
  readonly clusterId: string;
  /** From 1. */
  readonly nodeId: number;
  /** Of all of them, in the order of their ids. */
  readonly controllerPorts: readonly number[];
}

/** Starts one Kafka broker that is its own controller (KRaft). Ready when it can create topics. About 200 MB of memory. */
export async function startKafka(options: KafkaOptions = {}): Promise<RunningService> {
  const java = await requireJava();
  const jars = await fetchJars(JARS.kafka, options.progress);
  return startOnPort('kafka', options, async (dir, port) => {
    const file = path.join(dir, 'server.properties');
    const data = path.join(dir, 'data');
    // A fresh id for fresh data: whoever remembers positions in an earlier one can tell.
    const member = options.member ?? {
      clusterId: newClusterId(),
      nodeId: 1,
      controllerPorts: [await freePort()],
    };
    await writeFile(file, properties(port, member, data));
    const classPath = ['-cp', path.join(jars, '*')];
    if (!existsSync(path.join(data, 'meta.properties'))) {
      const format = ['format', '-t', member.clusterId, '-c', file, '--ignore-formatted'];
      const answer = await run(java, [
        '-Xmx64m',
        ...QUICK_START,
        ...LOGGING,
        ...classPath,
        'kafka.tools.StorageTool',
        ...format,
      ]);
      if (answer === 'missing' || answer.code !== 0) {
        const output = answer === 'missing' ? '' : `\n${lastLines(answer.output)}`;
        throw new Error(`Kafka could not format its folder ${data}.${output}`);
      }
    }
    const heap = member.controllerPorts.length > 1 ? '128m' : '192m';
    const memory = [`-Xms${heap}`, `-Xmx${heap}`, '-XX:MaxDirectMemorySize=64m'];
    return {
      name: options.member ? `Kafka ${member.nodeId}` : 'Kafka',
      file: java,
      args: [...memory, ...QUICK_START, ...LOGGING, ...classPath, 'kafka.Kafka', file],
      cwd: dir,
      logFile: options.logFile ?? path.join(dir, 'kafka.log'),
      ports: [port],
      ready: () => probe(port, METADATA_REQUEST, (answer) => brokersIn(answer) > 0),
    };
  });
}

/**
 * Starts several Kafka brokers that belong together, each in a folder of its own below `dir`. Ready when each knows all.
 * Topics have three replicas then, where there are three brokers, and two of them must be in sync.
 */
export async function startKafkaBrokers(count: number, dir: string): Promise<RunningService[]> {
  const clusterId = newClusterId();
  const controllerPorts = await Promise.all(Array.from({ length: count }, () => freePort()));
  const starts = await Promise.allSettled(
    controllerPorts.map((_, index) =>
      startKafka({
        dir: path.join(dir, `kafka-${index + 1}`),
        member: { clusterId, nodeId: index + 1, controllerPorts },
      }),
    ),
  );
  const brokers = starts.flatMap((start) => (start.status === 'fulfilled' ? [start.value] : []));
  try {
    const failed = starts.find((start) => start.status === 'rejected');
    if (failed) throw failed.reason;
    const deadline = performance.now() + JOINED_WITHIN_MS;
    for (const { port } of brokers)
      while (!(await probe(port, METADATA_REQUEST, (answer) => brokersIn(answer) === count))) {
        if (performance.now() > deadline) throw new Error('The Kafka brokers did not find each other.');
        await delay(100);
      }
    return brokers;
  } catch (error) {
    await Promise.all(brokers.map((broker) => broker.stop(1_000)));
    throw error;
  }
}

function newClusterId(): string {
  return randomBytes(16).toString('hex').slice(0, 22);
}

/** Metadata v1 of no topic: the answer names the brokers that take requests. */
const METADATA_REQUEST = Buffer.from(
  '0000000e' + // length
    '00030001' + // key and version
    '00000001' + // correlation
    'ffff' + // no client id
    '00000000', // no topics
  'hex',
);

/** The answer is length, correlation, then an array of brokers. */
function brokersIn(answer: Buffer): number {
  return answer.length >= 12 ? answer.readInt32BE(8) : 0;
}

function properties(port: number, { nodeId, controllerPorts }: KafkaMember, data: string): string {
  const voters = controllerPorts.map((at, index) => `${index + 1}@127.0.0.1:${at}`).join(',');
  const replicas = Math.min(3, controllerPorts.length);
  const inSync = replicas > 2 ? 2 : 1;
  return `process.roles=broker,controller
node.id=${nodeId}
controller.quorum.voters=${voters}
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://127.0.0.1:${port},CONTROLLER://127.0.0.1:${controllerPorts[nodeId - 1]}
advertised.listeners=PLAINTEXT://127.0.0.1:${port}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs=${data}
offsets.topic.num.partitions=3
offsets.topic.replication.factor=${replicas}
min.insync.replicas=${inSync}
transaction.state.log.num.partitions=3
transaction.state.log.replication.factor=${replicas}
transaction.state.log.min.isr=${inSync}
group.initial.rebalance.delay.ms=0
broker.session.timeout.ms=2000
broker.heartbeat.interval.ms=300
num.network.threads=2
num.io.threads=2
log.cleaner.dedupe.buffer.size=8388608
auto.create.topics.enable=false
`;
}

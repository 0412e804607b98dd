import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
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

/** Starts one Kafka broker that is its own controller (KRaft). Ready when it can create topics. About 200 MB of memory. */
export async function startKafka(options: StartOptions = {}): Promise<RunningService> {
  const java = await requireJava();
  const jars = await fetchJars(JARS.kafka, options.progress);
  return startOnPort('kafka', options, async (dir, port) => {
    const file = path.join(dir, 'server.properties');
    const data = path.join(dir, 'data');
    await writeFile(file, properties(port, await freePort(), data));
    const classPath = ['-cp', path.join(jars, '*')];
    if (!existsSync(path.join(data, 'meta.properties'))) {
      // A fresh id for fresh data: whoever remembers positions in an earlier one can tell.
      const format = [
        'format',
        '-t',
        randomBytes(16).toString('hex').slice(0, 22),
        '-c',
        file,
        '--ignore-formatted',
      ];
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
    const memory = ['-Xms192m', '-Xmx192m', '-XX:MaxDirectMemorySize=64m'];
    return {
      name: 'Kafka',
      file: java,
      args: [...memory, ...QUICK_START, ...LOGGING, ...classPath, 'kafka.Kafka', file],
      cwd: dir,
      logFile: options.logFile ?? path.join(dir, 'kafka.log'),
      ports: [port],
      ready: () => probe(port, METADATA_REQUEST, hasBroker),
    };
  });
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
function hasBroker(answer: Buffer): boolean {
  return answer.length >= 12 && answer.readInt32BE(8) > 0;
}

function properties(port: number, controllerPort: number, data: string): string {
  return `process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:${controllerPort}
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://127.0.0.1:${port},CONTROLLER://127.0.0.1:${controllerPort}
advertised.listeners=PLAINTEXT://127.0.0.1:${port}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs=${data}
offsets.topic.num.partitions=3
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=3
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
broker.session.timeout.ms=2000
broker.heartbeat.interval.ms=300
num.network.threads=2
num.io.threads=2
log.cleaner.dedupe.buffer.size=8388608
auto.create.topics.enable=false
`;
}

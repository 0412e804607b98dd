import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { fetchJars } from './fetch-jars.js';
import { JARS } from './pins.js';
import { probe } from './probe.js';
import { requireJava } from './requirements.js';
import { startOnPort, type RunningService, type StartOptions } from './running-service.js';

/** Starts one ZooKeeper that takes sessions from one second on. About 60 MB of memory. */
export async function startZooKeeper(options: StartOptions = {}): Promise<RunningService> {
  const java = await requireJava();
  const jars = await fetchJars(JARS.zookeeper, options.progress);
  return startOnPort('zookeeper', options, async (dir, port) => {
    const file = path.join(dir, 'zoo.cfg');
    const data = path.join(dir, 'data');
    await mkdir(data, { recursive: true });
    await writeFile(file, config(port, data));
    return {
      name: 'ZooKeeper',
      file: java,
      args: [
        '-Xmx96m',
        '-XX:+UseSerialGC',
        '-XX:TieredStopAtLevel=1',
        // What must survive is in the other processes; the machine need not wait for its disk.
        '-Dzookeeper.forceSync=no',
        '-Dorg.slf4j.simpleLogger.defaultLogLevel=warn',
        '-Dorg.slf4j.simpleLogger.showDateTime=true',
        '-cp',
        path.join(jars, '*'),
        'org.apache.zookeeper.server.quorum.QuorumPeerMain',
        file,
      ],
      cwd: dir,
      logFile: options.logFile ?? path.join(dir, 'zookeeper.log'),
      ports: [port],
      ready: () => probe(port, 'srvr', (answer) => answer.includes('Mode:')),
    };
  });
}

function config(port: number, data: string): string {
  return `tickTime=500
minSessionTimeout=1000
maxSessionTimeout=60000
maxClientCnxns=0
dataDir=${data}
clientPort=${port}
clientPortAddress=127.0.0.1
admin.enableServer=false
4lw.commands.whitelist=*
`;
}

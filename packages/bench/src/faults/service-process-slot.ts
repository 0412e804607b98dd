import { connect } from 'node:net';
import path from 'node:path';

import type { ServiceName } from './catalogue.js';
import type { ClusterFile, ClusterService } from './cluster-file.js';
import type { ServiceSlot } from './fault.js';
import { ProcessSlot } from './process-slot.js';
import { startReplacement } from './replaced-process.js';

export interface ServiceSlotDeps {
  readonly cluster: ClusterFile & { readonly pid: number };
  readonly service: ServiceName;
  /** As cluster.json has it. */
  readonly running: ClusterService;
  /** Told its new pid when it was started again. */
  readonly onRestarted: (service: ServiceName, pid: number) => Promise<void>;
}

/** Kafka, Redis, ZooKeeper or MariaDB. It is started again as cluster.json says. */
export class ServiceProcessSlot extends ProcessSlot implements ServiceSlot {
  constructor(private readonly deps: ServiceSlotDeps) {
    super(deps.service, deps.running.pid);
  }

  get address(): string {
    return this.deps.running.address;
  }

  protected override async launch(): Promise<number> {
    const { cluster, service, running, onRestarted } = this.deps;
    const { file, args, cwd, env } = running.start;
    const logFile = path.join(path.dirname(cluster.path), 'logs', `${service}.log`);
    const pid = startReplacement({ file, args, cwd, env: { ...process.env, ...env }, logFile, cluster });
    await onRestarted(service, pid);
    return pid;
  }

  protected override isReady(): Promise<boolean> {
    const { address } = this.deps.running;
    const colon = address.lastIndexOf(':');
    return new Promise((resolve) => {
      const socket = connect({ host: address.slice(0, colon), port: Number(address.slice(colon + 1)) });
      const answer = (is: boolean): void => {
        socket.destroy();
        resolve(is);
      };
      socket.once('connect', () => answer(true)).once('error', () => answer(false));
    });
  }
}

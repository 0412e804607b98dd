import { readFile, readlink } from 'node:fs/promises';
import { connect } from 'node:net';
import path from 'node:path';

import type { ServiceName } from './catalogue.js';
import type { ClusterFile } from './cluster-file.js';
import type { ServiceSlot } from './fault.js';
import { ProcessSlot } from './process-slot.js';
import { type ReplacedProcess, startReplacement } from './replaced-process.js';

export interface ServiceSlotDeps {
  readonly cluster: ClusterFile & { readonly pid: number };
  readonly service: ServiceName;
  readonly address: string;
  readonly pid: number;
  /** Told its new pid when it was started again. */
  readonly onRestarted: (service: ServiceName, pid: number) => Promise<void>;
}

/** Kafka, Redis, ZooKeeper or MariaDB. It is started again with the arguments, folder and environment that it ran with. */
export class ServiceProcessSlot extends ProcessSlot implements ServiceSlot {
  #replaced: ReplacedProcess | undefined;

  constructor(private readonly deps: ServiceSlotDeps) {
    super(deps.service, deps.pid);
  }

  get address(): string {
    return this.deps.address;
  }

  override async kill(): Promise<void> {
    this.#replaced ??= await this.#readProcess();
    await super.kill();
  }

  protected override async launch(): Promise<number> {
    if (!this.#replaced) throw new Error(`${this.name} ended by itself`);
    const pid = startReplacement(this.#replaced);
    await this.deps.onRestarted(this.deps.service, pid);
    return pid;
  }

  protected override isReady(): Promise<boolean> {
    const { address } = this.deps;
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

  /** How the process was started, while it runs. */
  async #readProcess(): Promise<ReplacedProcess> {
    const { cluster, service } = this.deps;
    const proc = `/proc/${this.pid}`;
    const [args, env, cwd, file] = await Promise.all([
      readFile(`${proc}/cmdline`, 'utf8'),
      readFile(`${proc}/environ`, 'utf8'),
      readlink(`${proc}/cwd`),
      readlink(`${proc}/exe`),
    ]);
    return {
      file,
      args: args.split('\0').slice(1, -1),
      env: Object.fromEntries(
        env
          .split('\0')
          .filter(Boolean)
          .map((entry) => [entry.slice(0, entry.indexOf('=')), entry.slice(entry.indexOf('=') + 1)]),
      ),
      cwd,
      logFile: path.join(path.dirname(cluster.path), 'logs', `${service}.log`),
      cluster,
    };
  }
}

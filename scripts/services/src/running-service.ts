import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { freePort } from './free-port.js';
import { ServiceProcess, type ProcessSpec } from './service-process.js';
import type { Progress } from './cache.js';

export interface StartOptions {
  /**
   * A private folder for its configuration, data and log; made when it is missing. When it is not given a temporary
   * one, which `stop` removes: the service is then not started again, unless by `restart`.
   */
  readonly dir?: string;
  /** Where its log goes; a file in `dir` when it is not given. */
  readonly logFile?: string;
  /** Port on 127.0.0.1; a free one when it is not given. */
  readonly port?: number;
  /** Told when something has to be fetched first. */
  readonly progress?: Progress;
}

/** A real service that this process started on 127.0.0.1. Ports and folder stay the same over restarts. */
export class RunningService extends ServiceProcess {
  constructor(
    spec: ProcessSpec,
    readonly dir: string,
    readonly port: number,
    private readonly temporary = false,
  ) {
    super(spec);
  }

  readonly host = '127.0.0.1';

  override async stop(graceMs?: number): Promise<void> {
    await super.stop(graceMs);
    if (this.temporary) await rm(this.dir, { recursive: true, force: true });
  }

  /** `host:port` for clients. */
  get address(): string {
    return `${this.host}:${this.port}`;
  }
}

/**
 * Makes and starts a service on the given port, or on a free one: then it is tried again on another when the first
 * attempt fails, as somebody may have taken the port in between.
 */
export async function startOnPort(
  name: string,
  options: StartOptions,
  prepare: (dir: string, port: number) => Promise<ProcessSpec>,
): Promise<RunningService> {
  const dir = options.dir ?? (await mkdtemp(path.join(os.tmpdir(), `halley-${name}-`)));
  await mkdir(dir, { recursive: true });
  for (let attempt = 1; ; attempt += 1) {
    const port = options.port ?? (await freePort());
    const service = new RunningService(await prepare(dir, port), dir, port, options.dir === undefined);
    try {
      await service.start();
      return service;
    } catch (error) {
      await service.kill();
      if (options.port !== undefined || attempt === 3 || !/in use|bind/i.test(service.logTail(200)))
        throw error;
    }
  }
}

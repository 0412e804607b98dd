import { randomUUID } from 'node:crypto';
import { mkdir, open, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import type { Tier } from '@halley/cluster/registry/registry';

/** One node of the cluster. It is never restarted: what ended stays `exited`. */
export interface ClusterProcess {
  /** As `comet-1`. */
  readonly name: string;
  readonly tier: Tier;
  /** Of the serving process. */
  readonly pid: number;
  /** By protocol, as `tcp`, `ws`, `grpc`, `http`, `ops`. */
  readonly ports: Readonly<Record<string, number>>;
  readonly state: 'starting' | 'ready' | 'exited';
}

export type ServiceName = 'kafka' | 'zookeeper' | 'redis' | 'mariadb';

/** With the bus in Redis there is no Kafka. */
export type ClusterBus = 'kafka' | 'redis';

/** Those that the cluster runs on. */
export type ClusterServices = Readonly<Record<Exclude<ServiceName, 'kafka'>, ClusterService>> & {
  readonly kafka?: ClusterService;
};

/** A real service of the cluster. */
export interface ClusterService {
  readonly address: string;
  /** Of the serving process, also when another has taken the place of the first (`halley check`). */
  readonly pid: number;
  /** How it is started again, in its place. */
  readonly start: {
    readonly file: string;
    readonly args: readonly string[];
    readonly cwd: string;
    /** What it needs beyond the environment of the cluster. */
    readonly env: Readonly<Record<string, string>>;
  };
}

/** What `.halley/cluster.json` says while `npm run cluster` runs (docs: README, "The real cluster"). */
export interface ClusterState {
  /** Of the process that runs the cluster, and ends it. */
  readonly pid: number;
  readonly processes: readonly ClusterProcess[];
  /** Where pushes are made durable. */
  readonly bus: ClusterBus;
  /** Where the real services are, `host:port` on this machine. */
  readonly services: ClusterServices;
  /** What a node of each tier is started with to belong to the cluster; `--join` puts it before its own arguments. */
  readonly arguments: Readonly<Record<Tier, readonly string[]>>;
}

/** A change takes milliseconds: an older lock is that of a killed process. */
const STALE_LOCK_MS = 2_000;

/**
 * The file, changed by the cluster and by nodes that join it. It is replaced as a whole, so that a reader never sees
 * half of it, and a lock beside it keeps one change from undoing another's.
 */
export class ClusterStateFile {
  #last: Promise<void> = Promise.resolve();

  constructor(readonly file: string) {}

  /** The state; undefined when there is no file, or it is not one of ours. */
  async read(): Promise<ClusterState | undefined> {
    try {
      const value = JSON.parse(await readFile(this.file, 'utf8')) as ClusterState;
      return Array.isArray(value.processes) ? value : undefined;
    } catch {
      return undefined;
    }
  }

  async write(state: ClusterState): Promise<void> {
    await this.#exclusively(() => this.#replace(state));
  }

  /** Applies a change to what the file says now. Does nothing when there is no file. */
  async update(change: (state: ClusterState) => ClusterState): Promise<void> {
    await this.#exclusively(async () => {
      const before = await this.read();
      if (!before) return;
      const after = change(before);
      if (after !== before) await this.#replace(after);
    });
  }

  /** Changes one process's state. */
  async setState(pid: number, state: ClusterProcess['state']): Promise<void> {
    await this.update((before) => ({
      ...before,
      processes: before.processes.map((one) =>
        one.pid === pid && one.state !== 'exited' ? { ...one, state } : one,
      ),
    }));
  }

  async remove(): Promise<void> {
    await this.#exclusively(() => rm(this.file, { force: true }));
  }

  async #replace(state: ClusterState): Promise<void> {
    const draft = `${this.file}.${randomUUID()}`;
    await writeFile(draft, `${JSON.stringify(state, null, 2)}\n`);
    await rename(draft, this.file);
  }

  /** One change after another in this process, and one process at a time. */
  #exclusively(action: () => Promise<void>): Promise<void> {
    const turn = this.#last.then(async () => {
      const release = await lock(`${this.file}.lock`);
      try {
        await action();
      } finally {
        await release();
      }
    });
    this.#last = turn.catch(() => undefined);
    return turn;
  }
}

async function lock(file: string): Promise<() => Promise<void>> {
  await mkdir(dirname(file), { recursive: true });
  for (;;) {
    try {
      await (await open(file, 'wx')).close();
      return () => rm(file, { force: true });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    }
    const held = await stat(file).catch(() => undefined);
    if (held && Date.now() - held.mtimeMs > STALE_LOCK_MS) await rm(file, { force: true });
    else await sleep(10);
  }
}

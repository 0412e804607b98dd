import type { Logger } from '@halley/service/log';
import { Cluster, type Redis } from 'ioredis';

const POLL_INTERVAL_MS = 1_000;

/** Watches how full Redis is, by asking it each second. In a cluster the fullest master counts. */
export class RedisMemory {
  #full = false;
  #timer: NodeJS.Timeout | undefined;
  #asking = false;

  constructor(
    private readonly deps: {
      readonly redis: Redis | Cluster;
      readonly highWaterFraction: number;
      readonly log: Logger;
    },
  ) {}

  /** Asks for the first time, and warns of a Redis that throws away what it holds. */
  async start(): Promise<void> {
    const policies = new Set((await this.#ask()).map(({ policy }) => policy));
    policies.delete('noeviction');
    for (const policy of policies)
      this.deps.log.warn(
        { maxmemoryPolicy: policy },
        'Redis evicts keys when its memory is full, and entries of streams would be lost: set maxmemory-policy to noeviction',
      );
    this.#timer = setInterval(() => void this.#poll(), POLL_INTERVAL_MS).unref();
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  full(): boolean {
    return this.#full;
  }

  async #poll(): Promise<void> {
    if (this.#asking) return;
    this.#asking = true;
    try {
      await this.#ask();
    } catch {
      // It is away: that is told by whatever is asked of it. What it said last stands.
    } finally {
      this.#asking = false;
    }
  }

  async #ask(): Promise<MemoryInfo[]> {
    const { redis, highWaterFraction, log } = this.deps;
    const nodes = redis instanceof Cluster ? redis.nodes('master') : [redis];
    const infos = (await Promise.all(nodes.map((node) => node.info('memory')))).map(parseInfo);
    const fraction = Math.max(0, ...infos.map(({ used, max }) => (max > 0 ? used / max : 0)));
    const full = fraction >= highWaterFraction;
    if (full !== this.#full) {
      const figures = { usedFraction: Number(fraction.toFixed(3)), highWaterFraction };
      if (full) log.warn(figures, 'Redis is at its high-water mark: streams take nothing more');
      else log.info(figures, 'Redis is below its high-water mark again');
    }
    this.#full = full;
    return infos;
  }
}

interface MemoryInfo {
  readonly used: number;
  /** 0 is no limit. */
  readonly max: number;
  readonly policy: string;
}

function parseInfo(info: string): MemoryInfo {
  const value = (name: string): string => new RegExp(`^${name}:(.*?)\\r?$`, 'm').exec(info)?.[1] ?? '';
  return {
    used: Number(value('used_memory')),
    max: Number(value('maxmemory')),
    policy: value('maxmemory_policy') || 'noeviction',
  };
}

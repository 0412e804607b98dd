import { PARTITIONS } from './bus.js';
import { emptyShard, type ShardState } from './shard.js';

type Script = (shard: ShardState) => unknown;

/** Redis: a shard for each partition, each replicated by its scripts in order, late by some of them. */
export class Redis {
  readonly shards: ShardState[] = Array.from({ length: PARTITIONS }, emptyShard);
  /** Whether a shard was ever emptied, and with it what was known of message ids. */
  readonly emptied: boolean[] = Array.from({ length: PARTITIONS }, () => false);
  readonly #scripts: Script[][] = Array.from({ length: PARTITIONS }, () => []);

  /** Runs a script that writes. */
  write<T>(shard: number, script: (shard: ShardState) => T): T {
    this.#scripts[shard]!.push(script);
    return script(this.shards[shard]!);
  }

  /** Loses everything, as a restart without a file or FLUSHALL does; a replica follows. */
  empty(shard: number): void {
    this.shards[shard] = emptyShard();
    this.#scripts[shard] = [];
    this.emptied[shard] = true;
  }

  /** A replica that hasn't got the last `lag` writes becomes the master. */
  failOver(shard: number, lag: number): void {
    const scripts = this.#scripts[shard]!;
    scripts.length = Math.max(0, scripts.length - lag);
    const replica = emptyShard();
    for (const script of scripts) script(replica);
    this.shards[shard] = replica;
    if (replica.applied === undefined) this.emptied[shard] = true;
  }
}

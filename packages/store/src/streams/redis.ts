import { randomBytes } from 'node:crypto';

import { HalleyError } from '@halley/protocol/error';
import type { ConnectionKey } from '@halley/protocol/ids';
import type { Logger } from '@halley/service/log';

import { RedisConnection } from '../redis/connection.js';
import { readScripts } from '../redis/scripts.js';
import type { RoutesConfig } from '../routes/config.js';
import { shardOf } from '../shard.js';
import { idKeyOf, planAppend, type PlannedPush } from './append-plan.js';
import type { StreamsConfig } from './config.js';
import { packPushes } from './redis/append-arguments.js';
import { NO_HASHES, packHashes, routesIn } from './redis/routes-read.js';
import { entryReader } from './redis/entries.js';
import { RedisMemory } from './redis/memory.js';
import { resumeOn } from './redis/resume.js';
import {
  MAX_CURSORS,
  NEWEST_LIFETIME_MS,
  type AppendAnswer,
  type AppendBatch,
  type Appended,
  type Collapsed,
  type CollapseQuery,
  type Cursor,
  type CursorWrite,
  type DeviceCursor,
  type HeldPage,
  type Position,
  type ReadQuery,
  type ResumeOutcome,
  type Resuming,
  type Repeated,
  type ShardEntry,
  type ShardState,
  type Streams,
} from './streams.js';

/** All but the first begin with what they share; `drop` is shared by two. */
const SCRIPTS = readScripts('streams/redis/', {
  append: ['shard', 'append'],
  restore: ['shard', 'drop', 'restore'],
  read: ['shard', 'read'],
  collapsed: ['shard', 'collapsed'],
  newest: ['shard', 'newest'],
  scan: ['shard', 'scan'],
  trim: ['shard', 'drop', 'trim'],
  'save-cursors': ['shard', 'cursor', 'save-cursors'],
  resume: ['shard', 'cursor', 'resume'],
  cursors: ['shard', 'cursors'],
  devices: ['shard', 'devices'],
});

/** Streams whose entries one call removes: some milliseconds of Redis's one thread. */
const STREAMS_A_DROP = 2_000;
/** Streams whose devices one call reads. */
const STREAMS_A_LOOK = 500;
/** One call reads about as much at most. */
const ENTRIES_A_SCAN = 5_000;
const BYTES_A_SCAN = 8 * 1_048_576;

export interface RedisStreamsDeps {
  /** Where Redis is: section `routes`. */
  readonly location: RoutesConfig;
  readonly config: StreamsConfig;
  /** The bus's partition count. */
  readonly shards: number;
  readonly log: Logger;
}

/**
 * Streams on Redis. Everything of shard p has the hash tag `{p}`, and each call about a shard is one
 * script, so that it is atomic; redis/shard.lua says which keys there are.
 */
export class RedisStreams implements Streams {
  readonly name = 'streams';
  readonly #connection: RedisConnection<keyof typeof SCRIPTS>;
  readonly #memory: RedisMemory;

  constructor(private readonly deps: RedisStreamsDeps) {
    const { location, config, log } = deps;
    this.#connection = new RedisConnection({
      location,
      store: 'the store of streams',
      scripts: SCRIPTS,
      log,
    });
    const { redis } = this.#connection;
    this.#memory = new RedisMemory({ redis, highWaterFraction: config.highWaterFraction, log });
  }

  async start(): Promise<void> {
    await this.#connection.start();
    await this.#connection.guard(() => this.#memory.start());
  }

  async stop(): Promise<void> {
    this.#memory.stop();
    this.#connection.stop();
  }

  healthy(): boolean {
    return this.#connection.healthy();
  }

  full(): boolean {
    return this.#memory.full();
  }

  async append(batch: AppendBatch): Promise<AppendAnswer> {
    const plan = planAppend(batch, this.deps.config.inlineBytes);
    if (this.full()) throw new HalleyError('store_full');
    const answer = (await this.#connection.run(
      'append',
      [this.#stateKey(batch.shard)],
      [
        batch.epoch,
        batch.before,
        batch.through,
        NEWEST_LIFETIME_MS,
        packPushes(plan),
        batch.routesOf ? packHashes(batch.routesOf) : NO_HASHES,
      ],
    )) as AppendReply;
    if (answer[0] === 'empty') return { outcome: 'empty' };
    if (answer[0] === 'behind') return { outcome: 'behind', applied: Number(answer[1]) };
    return appendedOf(batch, plan, answer);
  }

  async restore(shard: number, epoch: string, position: Position): Promise<ShardState> {
    const life = randomBytes(4).toString('hex');
    for (;;) {
      const state = (await this.#connection.run(
        'restore',
        [this.#stateKey(shard)],
        [epoch, position, life, STREAMS_A_DROP],
      )) as [string, string] | null;
      if (state) return { applied: Number(state[0]), trimmed: Number(state[1]) };
    }
  }

  async state(shard: number, epoch: string): Promise<ShardState | undefined> {
    const [of, applied, trimmed] = await this.#connection.guard(() =>
      this.#connection.redis.hmget(this.#stateKey(shard), 'epoch', 'applied', 'trimmed'),
    );
    return of === epoch ? { applied: Number(applied), trimmed: Number(trimmed) } : undefined;
  }

  async restoredAtMs(shard: number, epoch: string): Promise<number | undefined> {
    const [of, at] = await this.#connection.guard(() =>
      this.#connection.redis.hmget(this.#stateKey(shard), 'epoch', 'restoredAt'),
    );
    return of === epoch ? Number(at ?? 0) : undefined;
  }

  async read(epoch: string, queries: readonly ReadQuery[]): Promise<readonly (HeldPage | undefined)[]> {
    const pages: (HeldPage | undefined)[] = queries.map(() => undefined);
    await this.#eachShard(
      queries,
      ({ stream }) => stream,
      async (key, asked) => {
        const args = asked.flatMap(({ item: { stream, after, maxEntries, maxBytes } }) => [
          stream,
          after,
          maxEntries,
          maxBytes,
        ]);
        const answer = (await this.#connection.runForBytes('read', [key], [epoch, ...args])) as
          | [Buffer, Buffer, [number, ...Buffer[]][], (Buffer | null)[]]
          | null;
        if (!answer) return;
        const [applied, trimmed, found, shared] = answer;
        const entryOf = entryReader(shared);
        asked.forEach(({ index }, i) => {
          const [more, ...entries] = found[i]!;
          pages[index] = {
            applied: Number(applied.toString()),
            trimmed: Number(trimmed.toString()),
            entries: entries.map(entryOf),
            more: more === 1,
          };
        });
      },
    );
    return pages;
  }

  async collapsed(
    epoch: string,
    queries: readonly CollapseQuery[],
  ): Promise<readonly (Collapsed | undefined)[]> {
    const found: (Collapsed | undefined)[] = queries.map(() => undefined);
    await this.#eachShard(
      queries,
      ({ stream }) => stream,
      async (key, asked) => {
        const members = asked.flatMap(({ item: { stream, ids } }) => ids.map((id) => id + stream));
        const answer = (await this.#connection.run('collapsed', [key], [epoch, ...members])) as
          | string[]
          | null;
        if (!answer) return;
        const [trimmed, ...positions] = answer;
        let at = 0;
        for (const { item, index } of asked) {
          const newest = new Map<string, Position>();
          for (const id of item.ids) {
            const position = positions[at++];
            if (position) newest.set(id, Number(position));
          }
          found[index] = { trimmed: Number(trimmed), newest };
        }
      },
    );
    return found;
  }

  async newest(streams: readonly string[]): Promise<ReadonlyMap<string, Position>> {
    const newest = new Map<string, Position>();
    await this.#eachShard(
      [...new Set(streams)],
      (stream) => stream,
      async (key, asked) => {
        const names = asked.map(({ item }) => item);
        const answer = (await this.#connection.run('newest', [key], names)) as string[];
        answer.forEach((position, i) => {
          if (position !== '') newest.set(names[i]!, Number(position));
        });
      },
    );
    return newest;
  }

  async appliedAt(stream: string, caller: string, id: string): Promise<Position | undefined> {
    if (id === '') return undefined;
    const shard = `${this.deps.location.keyPrefix}{${shardOf(stream, this.deps.shards)}}:s:`;
    const { redis } = this.#connection;
    const known = await this.#connection.guard(() => redis.get(`${shard}d:${idKeyOf(caller, id)}`));
    return known === null ? undefined : Number(known.slice(0, known.indexOf(':')));
  }

  async positions(caller: string, id: string): Promise<ReadonlyMap<number, Position>> {
    const positions = new Map<number, Position>();
    if (id === '') return positions;
    const name = `d:${idKeyOf(caller, id)}`;
    const { redis } = this.#connection;
    await this.#connection.guard(() =>
      Promise.all(
        Array.from({ length: this.deps.shards }, async (_, shard) => {
          const known = await redis.get(`${this.deps.location.keyPrefix}{${shard}}:s:${name}`);
          if (known !== null) positions.set(shard, Number(known.slice(0, known.indexOf(':'))));
        }),
      ),
    );
    return positions;
  }

  async scan(
    shard: number,
    epoch: string,
    after: Position,
    maxEntries: number,
  ): Promise<{ readonly through: Position; readonly entries: readonly ShardEntry[] } | undefined> {
    const answer = (await this.#connection.runForBytes(
      'scan',
      [this.#stateKey(shard)],
      [epoch, after, maxEntries, ENTRIES_A_SCAN, BYTES_A_SCAN],
    )) as [Buffer, Buffer[], (Buffer | null)[]] | null;
    if (!answer) return undefined;
    const [through, found, shared] = answer;
    const entryOf = entryReader(shared);
    const entries: ShardEntry[] = [];
    for (let i = 0; i + 1 < found.length; i += 2)
      entries.push({ stream: found[i]!.toString(), entry: entryOf(found[i + 1]!) });
    return { through: Number(through.toString()), entries };
  }

  async trim(shard: number, epoch: string, through: Position): Promise<void> {
    const keys = [this.#stateKey(shard)];
    while ((await this.#connection.run('trim', keys, [epoch, through, STREAMS_A_DROP])) === 1);
  }

  async saveCursors(cursors: readonly CursorWrite[]): Promise<void> {
    await this.#eachShard(
      cursors,
      ({ stream }) => stream,
      (key, writes) => {
        const args = writes.flatMap(({ item }) => [
          item.stream,
          item.key,
          item.owner,
          item.epoch,
          item.position,
          item.ttlMs,
          item.begins ? 1 : 0,
        ]);
        return this.#connection.run('save-cursors', [key], [MAX_CURSORS, ...args]);
      },
    );
  }

  resume(epoch: string, ttlMs: number, devices: readonly Resuming[]): Promise<readonly ResumeOutcome[]> {
    const stateKeyOf = (stream: string): string => this.#stateKey(shardOf(stream, this.deps.shards));
    return resumeOn(this.#connection, stateKeyOf, epoch, ttlMs, devices);
  }

  async cursors(stream: string): Promise<ReadonlyMap<ConnectionKey, Cursor>> {
    const key = this.#stateKey(shardOf(stream, this.deps.shards));
    const fields = (await this.#connection.run('cursors', [key], [stream])) as string[];
    const cursors = new Map<ConnectionKey, Cursor>();
    for (let i = 0; i + 2 < fields.length; i += 3)
      cursors.set(fields[i] as ConnectionKey, { epoch: fields[i + 1]!, position: Number(fields[i + 2]) });
    return cursors;
  }

  async devices(
    streams: readonly string[],
  ): Promise<ReadonlyMap<string, ReadonlyMap<ConnectionKey, DeviceCursor>>> {
    const devices = new Map<string, ReadonlyMap<ConnectionKey, DeviceCursor>>();
    await this.#eachShard(
      [...new Set(streams)],
      (stream) => stream,
      async (key, asked) => {
        for (let from = 0; from < asked.length; from += STREAMS_A_LOOK) {
          const names = asked.slice(from, from + STREAMS_A_LOOK).map(({ item }) => item);
          const answer = (await this.#connection.run('devices', [key], names)) as string[][];
          answer.forEach((fields, i) => {
            if (fields.length > 0) devices.set(names[i]!, devicesIn(fields));
          });
        }
      },
    );
    return devices;
  }

  #stateKey(shard: number): string {
    return `${this.deps.location.keyPrefix}{${shard}}:s:state`;
  }

  /** Calls for each shard with what is asked of it and where that stood in the list. */
  async #eachShard<Item>(
    items: readonly Item[],
    streamOfItem: (item: Item) => string,
    call: (stateKey: string, asked: readonly { item: Item; index: number }[]) => Promise<unknown>,
  ): Promise<void> {
    const shards = new Map<number, { item: Item; index: number }[]>();
    for (const [index, item] of items.entries()) {
      const shard = shardOf(streamOfItem(item), this.deps.shards);
      const group = shards.get(shard);
      if (group) group.push({ item, index });
      else shards.set(shard, [{ item, index }]);
    }
    await Promise.all([...shards].map(([shard, asked]) => call(this.#stateKey(shard), asked)));
  }
}

function devicesIn(fields: readonly string[]): Map<ConnectionKey, DeviceCursor> {
  const devices = new Map<ConnectionKey, DeviceCursor>();
  for (let i = 0; i + 4 < fields.length; i += 5)
    devices.set(fields[i] as ConnectionKey, {
      epoch: fields[i + 1]!,
      position: Number(fields[i + 2]),
      untilMs: Number(fields[i + 3]),
      begin: Number(fields[i + 4]),
    });
  return devices;
}

type AppendReply =
  | ['empty']
  | ['behind', string]
  | ['appended', string, string, [string, number][], [string, string][], string, string[][]];

function appendedOf(
  batch: AppendBatch,
  plan: readonly PlannedPush[],
  [, applied, joined, repeats, known, now, hashes]: Extract<AppendReply, ['appended', ...unknown[]]>,
): AppendAnswer {
  const appliedBefore = Number(applied);
  const prevs = joined.split(',');
  const conflicts = new Map(repeats.map(([position, conflict]) => [Number(position), conflict === 1]));
  const entries: Appended[] = [];
  const repeated: Repeated[] = [];
  for (const { push, targets } of plan) {
    const { position, id } = push;
    if (position <= appliedBefore) continue;
    const conflict = conflicts.size === 0 ? undefined : conflicts.get(position);
    if (conflict !== undefined) repeated.push({ position, id, conflict });
    else
      for (const { stream } of targets)
        entries.push({ stream, position, prev: Number(prevs[entries.length]) });
  }
  return {
    outcome: 'appended',
    applied: Math.max(appliedBefore, batch.through),
    entries,
    repeated,
    known: known.map(([stream, newest]) => ({ stream, newest: Number(newest) })),
    ...(batch.routesOf && { routes: routesIn(batch.routesOf, hashes, Number(now)) }),
  };
}

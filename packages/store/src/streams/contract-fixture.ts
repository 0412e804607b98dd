import { randomUUID } from 'node:crypto';

import { expect } from '@jest/globals';
import type { ConnectionKey } from '@halley/protocol/ids';

import { shardOf } from '../shard.js';
import {
  BEFORE_ALL,
  type AppendAnswer,
  type AppendPush,
  type AppendTarget,
  type HeldPage,
  type Position,
  type Streams,
} from './streams.js';

export interface StreamsHarness {
  /** Started; its pushes are inline up to 256 bytes. */
  readonly streams: Streams;
  readonly shards: number;
  /** Unix milliseconds, as the store has them. */
  now(): number;
  /** Lets time pass. */
  pass(ms: number): Promise<void>;
  /** Removes all that the store holds, as a restart without persistence. */
  empty(): Promise<void>;
  /** Opens the same store anew: `streams` is another one then. */
  reopen(): Promise<void>;
  close(): Promise<void>;
}

/** One shard of a store in an epoch of its own, for one test. */
export class ShardFixture {
  static #names = 0n;
  readonly epoch = randomUUID();
  #before: Position = BEFORE_ALL;

  constructor(
    private readonly harness: Pick<StreamsHarness, 'streams' | 'shards' | 'now'>,
    readonly shard: number,
  ) {}

  get streams(): Streams {
    return this.harness.streams;
  }

  /** Unix milliseconds, as the store has them. */
  now(): number {
    return this.harness.now();
  }

  /** Begins the shard anew, at `position`. */
  async begin(position: Position = BEFORE_ALL): Promise<this> {
    this.#before = position;
    await this.streams.restore(this.shard, this.epoch, position);
    return this;
  }

  /** A stream of this shard that nobody else uses, of a user whose id is exact only as 64 bits. */
  stream(): string {
    return streamIn(
      this.shard,
      this.harness.shards,
      () => `u/${9_007_199_254_740_993n + (ShardFixture.#names += 1n)}`,
    );
  }

  /** An id that no other test uses; an empty one stays so. */
  id(name: string): string {
    return name === '' ? '' : `${name} ${this.epoch}`;
  }

  /** A stream of this shard whose name begins so. */
  named(prefix: string): string {
    let tried = 0;
    return streamIn(this.shard, this.harness.shards, () => `${prefix}${(tried += 1)}`);
  }

  push(position: Position, streams: readonly (string | AppendTarget)[], fields: Partial<AppendPush> = {}) {
    const id = fields.id === undefined ? randomUUID() : this.id(fields.id);
    return makePush(position, streams, { acceptedAtMs: this.harness.now(), ...fields, id });
  }

  /** Appends a batch that follows the one before it. */
  async append(pushes: readonly AppendPush[], through = pushes.at(-1)!.position): Promise<Appended> {
    const answer = await this.offer(this.#before, through, pushes);
    this.#before = through;
    if (answer.outcome !== 'appended') throw new Error(`not appended: ${JSON.stringify(answer)}`);
    return answer;
  }

  offer(before: Position, through: Position, pushes: readonly AppendPush[]): Promise<AppendAnswer> {
    return this.streams.append({ shard: this.shard, epoch: this.epoch, before, through, pushes });
  }

  state() {
    return this.streams.state(this.shard, this.epoch);
  }

  trim(through: Position): Promise<void> {
    return this.streams.trim(this.shard, this.epoch, through);
  }

  async read(stream: string, after: Position = BEFORE_ALL, limits: Partial<Limits> = {}): Promise<HeldPage> {
    const [page] = await this.streams.read(this.epoch, [{ stream, after, ...NO_LIMITS, ...limits }]);
    expect(page).toBeDefined();
    return page!;
  }

  async positions(stream: string, after: Position = BEFORE_ALL): Promise<Position[]> {
    return (await this.read(stream, after)).entries.map(({ position }) => position);
  }

  async scan(after: Position = BEFORE_ALL, maxEntries = 1_000) {
    return (await this.streams.scan(this.shard, this.epoch, after, maxEntries))!;
  }

  async newest(stream: string): Promise<Position | undefined> {
    return (await this.streams.newest([stream])).get(stream);
  }

  /** Everything that can be seen of the shard and these streams. */
  async seen(streams: readonly string[]): Promise<unknown> {
    const pages = await Promise.all(streams.map((stream) => this.read(stream)));
    const newest = await this.streams.newest(streams);
    return { state: await this.state(), pages, newest: [...newest], scanned: await this.scan() };
  }
}

type Appended = Extract<AppendAnswer, { outcome: 'appended' }>;

interface Limits {
  readonly maxEntries: number;
  readonly maxBytes: number;
}

export const NO_LIMITS: Limits = { maxEntries: 100_000, maxBytes: 1_000_000_000 };

/** The first name of a shard. */
export function streamIn(shard: number, shards: number, name: () => string): string {
  for (;;) {
    const stream = name();
    if (shardOf(stream, shards) === shard) return stream;
  }
}

export function makePush(
  position: Position,
  targets: readonly (string | AppendTarget)[],
  fields: Partial<AppendPush> = {},
): AppendPush {
  const id = fields.id ?? randomUUID();
  return {
    position,
    id,
    operation: 4,
    body: Buffer.from(`body at ${position}`),
    acceptedAtMs: Date.now(),
    expireAtMs: 0,
    traceparent: '',
    caller: 'orders',
    digest: `of ${id}`,
    ...fields,
    targets: targets.map((target) => (typeof target === 'string' ? { stream: target, keys: [] } : target)),
  };
}

export const key = (text: string): ConnectionKey => text as ConnectionKey;

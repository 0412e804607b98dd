import type { Position } from '@halley/store/streams/streams';

import { PARTITIONS, partitionOf, PER_RECORD } from './bus.js';
import * as script from './shard.js';
import type { World } from './world.js';

const MAX_POLLED = 3;
const MAX_SCANNED = 3;

/** Where a job stands with one batch of a partition; it may stop anywhere for any time, and go on. */
type Taking =
  | { readonly at: 'poll' }
  | { readonly at: 'append'; readonly batch: script.Batch }
  | { readonly at: 'watermark' }
  | { readonly at: 'restore'; readonly watermark: Position }
  | {
      readonly at: 'hint';
      readonly through: Position;
      readonly answer: script.AppendAnswer & { outcome: 'appended' };
    };

/** Where it stands with the archive. */
type Archiving =
  | { readonly at: 'scan' }
  | {
      readonly at: 'store';
      readonly from: Position;
      readonly through: Position;
      readonly entries: readonly script.StreamEntry[];
    }
  | { readonly at: 'trim'; readonly watermark: Position };

interface Lane {
  /** Up to where the partition was read, in this job's opinion. */
  before: Position;
  /** Up to where hints went out. */
  done: Position;
  taking: Taking;
  archiving: Archiving;
}

/** A job, which takes itself to be the reader of each partition; the other one does so too. */
export class Job {
  #lanes: Lane[];

  constructor(
    private readonly world: World,
    readonly index: number,
  ) {
    this.#lanes = this.#lanesFromCommitted();
  }

  /** Killed and started again, or given its partitions anew: reads from what was committed. */
  restart(): void {
    this.#lanes = this.#lanesFromCommitted();
    for (const comet of this.world.comets) comet.queues[this.index]!.clear();
  }

  /** Goes one step on with the batch of a partition. With `answerLost` the call gets through, and its answer doesn't. */
  take(partition: number, polled = MAX_POLLED, answerLost = false): void {
    const { world } = this;
    const { redis, archive, faults } = world;
    const lane = this.#lanes[partition]!;
    const { taking } = lane;
    switch (taking.at) {
      case 'poll': {
        const batch = this.#poll(partition, lane.before, polled);
        if (batch) lane.taking = { at: 'append', batch };
        return;
      }
      case 'append': {
        const { batch } = taking;
        const now = world.hours;
        const answer = redis.write(partition, (shard) => script.append(shard, batch, now, faults));
        world.check.shard(partition);
        if (!answerLost) this.#answered(lane, batch, answer);
        return;
      }
      case 'watermark':
        lane.taking = { at: 'restore', watermark: archive.watermarks[partition]! };
        return;
      case 'restore': {
        const { watermark } = taking;
        redis.write(partition, (shard) => script.restore(shard, watermark));
        world.check.shard(partition);
        if (answerLost) return;
        lane.before = watermark;
        lane.taking = { at: 'poll' };
        return;
      }
      case 'hint': {
        for (const { stream, position, prev, push } of taking.answer.entries) {
          this.#hint({ stream, position, prev, push: push.large ? undefined : push });
        }
        for (const { stream, newest } of taking.answer.known) {
          this.#hint({ stream, position: newest, prev: undefined, push: undefined });
        }
        lane.done = taking.through;
        lane.taking = { at: 'poll' };
      }
    }
  }

  /** Goes one step on with the archive of a partition. */
  archive(partition: number, scanned = MAX_SCANNED): void {
    const { redis, archive, faults, check } = this.world;
    const lane = this.#lanes[partition]!;
    const { archiving } = lane;
    switch (archiving.at) {
      case 'scan': {
        const from = archive.watermarks[partition]!;
        const found = script.scan(redis.shards[partition]!, from, scanned);
        if (found && found.through > from) lane.archiving = { at: 'store', from, ...found };
        else lane.archiving = { at: 'trim', watermark: from };
        return;
      }
      case 'store': {
        archive.store(partition, archiving.from, archiving.through, archiving.entries);
        check.archive(partition);
        lane.archiving = { at: 'trim', watermark: archive.watermarks[partition]! };
        return;
      }
      case 'trim': {
        const through = faults.trimUnarchived ? Number.POSITIVE_INFINITY : archiving.watermark;
        redis.write(partition, (shard) => script.trim(shard, through));
        check.shard(partition);
        lane.archiving = { at: 'scan' };
      }
    }
  }

  /** Commits to the bus. A job that lost the partition may commit less than another one did before. */
  commit(partition: number): void {
    const { bus, archive, faults, check } = this.world;
    const { done } = this.#lanes[partition]!;
    bus.committed[partition] = faults.commitUnarchived
      ? done
      : Math.min(archive.watermarks[partition]!, done);
    check.watermarks(partition);
  }

  #answered(lane: Lane, batch: script.Batch, answer: script.AppendAnswer): void {
    if (answer.outcome === 'empty') {
      lane.taking = { at: 'watermark' };
    } else if (answer.outcome === 'behind') {
      lane.before = answer.applied;
      lane.taking = { at: 'poll' };
    } else {
      lane.before = batch.through;
      lane.taking = { at: 'hint', through: batch.through, answer };
    }
  }

  #poll(partition: number, before: Position, limit: number): script.Batch | undefined {
    const first = Math.floor((before + 1) / PER_RECORD);
    const records = this.world.bus.partitions[partition]!.slice(first, first + limit);
    // Without records it asks all the same: Redis may have lost what this job read long ago.
    if (records.length === 0)
      return this.world.faults.skipProbe ? undefined : { before, through: before, pushes: [] };
    let counted = before;
    const pushes = records.flatMap((record, nth) =>
      record.pushes.map((push, index) => {
        counted += 1;
        const position = this.world.faults.numberByBatch ? counted : (first + nth) * PER_RECORD + index;
        return {
          position,
          push,
          streams: push.streams.filter((stream) => partitionOf(stream) === partition),
        };
      }),
    );
    return { before, through: (first + records.length) * PER_RECORD - 1, pushes };
  }

  /** Routes are read after the append. */
  #hint(hint: Parameters<World['comets'][number]['queues'][number]['add']>[0]): void {
    const { comets, devices, redis } = this.world;
    const targets = new Set<number>();
    for (const [device, { comet, incarnation }] of redis.shards[partitionOf(hint.stream)]!.routes) {
      if (devices[device]!.stream === hint.stream && comets[comet]!.incarnation === incarnation)
        targets.add(comet);
    }
    for (const comet of targets) comets[comet]!.queues[this.index]!.add(hint);
  }

  #lanesFromCommitted(): Lane[] {
    return Array.from({ length: PARTITIONS }, (_, partition) => {
      const committed = this.world.bus.committed[partition]!;
      return { before: committed, done: committed, taking: { at: 'poll' }, archiving: { at: 'scan' } };
    });
  }
}

import type { Position } from '@halley/store/streams/streams';

import { partitionOf, STREAMS, type Fact, type Push } from './bus.js';
import { takesPlace } from './collapse.js';
import type { Connection, Frame } from './connection.js';
import type { Device } from './device.js';
import { show, Violation, type Invariant } from './invariants.js';
import type { World } from './world.js';

const STREAMS_OF = [0, 1].map((partition) =>
  Array.from({ length: STREAMS }, (_, stream) => stream).filter(
    (stream) => partitionOf(stream) === partition,
  ),
);

/** Compares what stores, comets and clients have with what stands in the bus. Called after each change. */
export class Checks {
  /** Without `watched`, all invariants are. */
  constructor(
    private readonly world: World,
    private readonly watched: ReadonlySet<Invariant> | undefined,
  ) {}

  /** Redis changed. */
  shard(partition: number): void {
    const { redis, bus } = this.world;
    const { applied, trimmed, streams } = redis.shards[partition]!;
    this.watermarks(partition);
    if (applied === undefined) return;
    for (const stream of STREAMS_OF[partition]!) {
      const entries = streams.get(stream)?.entries ?? [];
      let next = 0;
      for (const fact of bus.facts[stream]!) {
        if (fact.position <= trimmed || fact.position > applied) continue;
        const entry = entries[next];
        if (entry?.position === fact.position) {
          this.#same(stream, entry.push.id, fact);
          next += 1;
        } else if (!fact.repeat) {
          this.fail(
            '2 held',
            `${this.#named(stream, fact)} is not in Redis, trimmed through ${show(trimmed)}`,
          );
        }
      }
      if (next < entries.length)
        this.fail('3 same record', `Redis has ${show(entries[next]!.position)}, the bus hasn't`);
    }
  }

  /** The database changed. */
  archive(partition: number): void {
    const { archive, bus } = this.world;
    const watermark = archive.watermarks[partition]!;
    for (const stream of STREAMS_OF[partition]!) {
      const rows = archive.rows[stream]!;
      let next = 0;
      for (const fact of bus.facts[stream]!) {
        if (fact.position <= archive.floors[stream]! || fact.position > watermark) continue;
        const row = rows[next];
        if (row?.position === fact.position) {
          this.#same(stream, row.push.id, fact);
          next += 1;
        } else if (!fact.repeat) {
          this.fail('2 held', `${this.#named(stream, fact)} is not archived, watermark ${show(watermark)}`);
        }
      }
      if (next < rows.length)
        this.fail('3 same record', `the archive has ${show(rows[next]!.position)}, the bus hasn't`);
    }
  }

  /** T ≤ W, commit ≤ W. */
  watermarks(partition: number): void {
    const { archive, bus, redis } = this.world;
    const watermark = archive.watermarks[partition]!;
    const { applied, trimmed } = redis.shards[partition]!;
    if (applied !== undefined && trimmed > watermark) {
      this.fail('2 watermarks', `trimmed through ${show(trimmed)}, archived through ${show(watermark)}`);
    }
    if (bus.committed[partition]! > watermark) {
      this.fail(
        '2 watermarks',
        `committed ${show(bus.committed[partition])}, archived through ${show(watermark)}`,
      );
    }
  }

  /** A connection is about to write a frame. */
  sent({ sent, stream, device }: Connection, { position, push }: Frame): void {
    if (position <= sent)
      this.fail('5 increasing', `device ${device} is sent ${show(position)} after ${show(sent)}`);
    if (push === undefined) return;
    const fact = this.world.bus.factAt(stream, position);
    if (fact?.push.id !== push.id)
      this.fail('phantom', `device ${device} is sent ${push.id} at ${show(position)}`);
    if (fact?.repeat && !this.world.redis.emptied[partitionOf(stream)]) {
      this.fail('twice', `device ${device} is sent ${push.id} again, at ${show(position)}`);
    }
  }

  /** A connection's stream went on from `before`, by what was sent or filtered away, and a gap that was declared. */
  advanced(
    { sequencer, stream, device }: Connection,
    before: Position,
    turns: readonly Position[],
    gap: { readonly through: Position } | undefined,
    /** What the page left out: right only where something newer takes its place. */
    leftOut: readonly Position[] = [],
  ): void {
    const { last } = sequencer;
    if (last === before) return;
    const from = Math.max(before, gap?.through ?? before);
    for (const fact of this.world.bus.facts[stream]!) {
      if (fact.position <= from || fact.position > last || fact.repeat || turns.includes(fact.position))
        continue;
      if (leftOut.includes(fact.position) && this.#newer(stream, fact).length > 0) continue;
      const way = `${show(before)} to ${show(last)}`;
      this.fail(
        '4 nothing between',
        `device ${device} went from ${way} without ${this.#named(stream, fact)}`,
      );
    }
  }

  /** Who owns a route or a cursor changed, from one session to another or to itself. */
  owner(
    what: string,
    before: { owner: number; position?: Position },
    after: { owner: number; position?: Position },
  ): void {
    if (after.owner < before.owner) {
      this.fail('6 owner', `${what} went from session ${before.owner} to ${after.owner}`);
    }
    if ((after.position ?? 0) < (before.position ?? 0)) {
      this.fail('6 owner', `${what} went from ${show(before.position)} back to ${show(after.position)}`);
    }
  }

  /** A session goes on where the server's cursor of its device stands. */
  opened(device: Device, cursor: Position): void {
    if (cursor > device.shownThrough) {
      this.fail(
        'lost',
        `device ${device.index} opens at ${show(cursor)}, and was shown up to ${show(device.shownThrough)}`,
      );
    }
  }

  /** Faults ended, all were renewed once and caught up. */
  caughtUp({ device, stream, sequencer }: Connection): void {
    const newest = this.world.bus.newest(stream);
    if (sequencer.last < newest) {
      this.fail(
        '7 catches up',
        `device ${device} stands at ${show(sequencer.last)}, the stream at ${show(newest)}`,
      );
    }
  }

  /** All went on as long as it could: compares what callers were told with what devices showed. */
  outcomes(): void {
    const { bus, devices, sent } = this.world;
    for (const { push, outcome } of sent.values()) {
      if (outcome !== 'ok') continue;
      const missing = push.streams.find((stream) =>
        bus.facts[stream]!.every((fact) => fact.push.id !== push.id),
      );
      if (missing !== undefined) this.fail('1 in the bus', `${push.id} was answered OK`);
    }
    for (const device of devices) this.#outcomesOf(device);
  }

  #outcomesOf(device: Device): void {
    const { sent } = this.world;
    const shown = new Set<number>();
    const latest = new Map<number, number>();
    for (const { id, sender } of device.shown) {
      const outcome = sent.get(id)?.outcome;
      if (outcome === undefined || outcome === 'refused')
        this.fail('phantom', `device ${device.index} showed ${id}`);
      if (shown.has(id)) this.fail('twice', `device ${device.index} showed ${id} again`);
      shown.add(id);
      // What was declared lost may come after all: by its repeat when Redis lost the ids with all else, and to a device
      // without a cursor of its own when Redis got back what retention took.
      if (outcome !== 'ok' || this.#declared(device, id) || this.#cameAgain(device, id)) continue;
      const before = latest.get(sender);
      if (before !== undefined && before > id) {
        this.fail('out of order', `device ${device.index} showed ${id} after ${before}`);
      }
      latest.set(sender, id);
    }
    for (const { push, outcome } of sent.values()) {
      if (outcome !== 'ok' || shown.has(push.id)) continue;
      if (!push.streams.includes(device.stream) || (push.only ?? device.index) !== device.index) continue;
      if (!this.#declared(device, push.id) && !this.#replaced(device, push, shown))
        this.fail('lost', `device ${device.index} never showed ${push.id}`);
    }
  }

  /** What stands behind a fact in its stream and takes its place; repeats do only where Redis has lost the ids. */
  #newer(stream: number, { position, push }: Fact): readonly Fact[] {
    const emptied = this.world.redis.emptied[partitionOf(stream)];
    return this.world.bus.facts[stream]!.filter(
      (fact) => fact.position > position && (emptied || !fact.repeat) && takesPlace(fact.push, push),
    );
  }

  /** Whether a device was shown, or told to have lost, what took the place of a push. */
  #replaced(device: Device, push: Push, shown: ReadonlySet<number>): boolean {
    const facts = this.world.bus.facts[device.stream]!.filter((fact) => fact.push.id === push.id);
    return facts.some((fact) =>
      this.#newer(device.stream, fact).some(
        ({ push: { id } }) => id !== push.id && (shown.has(id) || this.#declared(device, id)),
      ),
    );
  }

  /**
   * Whether a push that was left out for a newer one may come after it: Redis lost the id, and its repeat comes, or the cursor
   * of a device that has none of its own, which is then sent both again.
   */
  #cameAgain(device: Device, id: number): boolean {
    if (!this.world.redis.emptied[partitionOf(device.stream)]) return false;
    const facts = this.world.bus.facts[device.stream]!.filter(({ push }) => push.id === id);
    return (facts.length > 1 || !device.keepsCursor) && this.#newer(device.stream, facts[0]!).length > 0;
  }

  /** Whether a push was in a gap that the device was told of. */
  #declared(device: Device, id: number): boolean {
    return this.world.bus.facts[device.stream]!.some(
      ({ push, position }) =>
        push.id === id && device.gaps.some(({ after, through }) => position > after && position <= through),
    );
  }

  #same(stream: number, id: number, fact: Fact): void {
    if (id !== fact.push.id) this.fail('3 same record', `${this.#named(stream, fact)} is ${id} here`);
  }

  #named(stream: number, { push, position }: Fact): string {
    return `${push.id} of stream ${stream} at ${show(position)}`;
  }

  /** An invariant is broken; this ends the schedule if it is watched. */
  fail(invariant: Invariant, detail: string): void {
    if (this.watched && !this.watched.has(invariant)) return;
    throw new Violation(invariant, detail);
  }
}

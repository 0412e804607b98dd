import { LatencyCounts } from '../latency-counts.js';
import type { Reasons, SampleReport } from '../lines.js';
import { SenderKind, STAMP_BYTES, STAMP_MAGIC } from '../stamp.js';
import type { Track } from './track.js';

const HALF = 2 ** 32;
const KIND_SHIFT = 30;
const INDEX_MASK = 0x3fffffff;

/** Counts by name. */
export class Names {
  readonly #counts = new Map<string, number>();

  add(name: string): void {
    this.#counts.set(name, (this.#counts.get(name) ?? 0) + 1);
  }

  /** What was counted; it begins anew. */
  take(): Reasons {
    const taken = [...this.#counts];
    this.#counts.clear();
    return taken;
  }
}

/** Who a message came to. */
export interface Receiver {
  /** Index, in the whole load. */
  readonly index: number;
  /** Of its room; -1 in none. */
  readonly room: number;
  /** By {@link SenderKind}. */
  readonly tracks: readonly Track[];
}

/** What the worker counts of messages and connections. Times are in nanoseconds of CLOCK_MONOTONIC, as numbers. */
export class Tally {
  bytes = 0;
  heartbeats = 0;
  readonly closed = new Names();
  readonly #latency = new LatencyCounts();
  readonly #runHigh: number;
  readonly #runLow: number;
  #delivered = 0;
  #outOfOrder = 0;
  #repeated = 0;
  #missing = 0;
  #strays = 0;
  #foreign = 0;
  #lastAtNs = 0;

  constructor(run: bigint) {
    this.#runHigh = Number(run >> 32n);
    this.#runLow = Number(run & 0xffffffffn);
  }

  /** Takes one body: counts it, its age, and its place in its sender's sequence. */
  message(to: Receiver, body: Uint8Array, nowNs: number): void {
    const view = new DataView(body.buffer, body.byteOffset, body.length);
    if (!this.#isOurs(view)) {
      this.#foreign += 1;
      return;
    }
    const sender = view.getUint32(4);
    const kind = sender >>> KIND_SHIFT;
    if (!isFor(to, kind, sender & INDEX_MASK)) {
      this.#strays += 1;
      return;
    }
    this.#delivered += 1;
    this.#lastAtNs = nowNs;
    this.#latency.record(nowNs - readNumber(view, 16));
    this.#place(to.tracks[kind] as Track, readNumber(view, 8));
  }

  /** What was counted, as a report; it begins anew. */
  take(open: number): SampleReport {
    const { user, system } = process.cpuUsage();
    const report: SampleReport = {
      is: 'sample',
      delivered: this.#delivered,
      bytes: this.bytes,
      outOfOrder: this.#outOfOrder,
      repeated: this.#repeated,
      missing: this.#missing,
      strays: this.#strays,
      foreign: this.#foreign,
      heartbeats: this.heartbeats,
      open,
      cpuMs: (user + system) / 1000,
      lastAtNs: `${this.#lastAtNs}`,
      closed: this.closed.take(),
      latency: this.#latency.take(),
    };
    this.bytes = 0;
    this.heartbeats = 0;
    this.#delivered = 0;
    this.#outOfOrder = 0;
    this.#repeated = 0;
    this.#missing = 0;
    this.#strays = 0;
    this.#foreign = 0;
    return report;
  }

  #isOurs(view: DataView): boolean {
    return (
      view.byteLength >= STAMP_BYTES &&
      view.getUint32(0) === STAMP_MAGIC &&
      view.getUint32(24) === this.#runHigh &&
      view.getUint32(28) === this.#runLow
    );
  }

  #place(track: Track, sequence: number): void {
    const { was, missing } = track.take(sequence);
    this.#missing += missing;
    if (was === 'late') this.#outOfOrder += 1;
    if (was === 'repeated') this.#repeated += 1;
  }
}

/** Exact up to 2^53: 104 days of nanoseconds. */
function readNumber(view: DataView, at: number): number {
  return view.getUint32(at) * HALF + view.getUint32(at + 4);
}

function isFor({ index, room }: Receiver, kind: number, of: number): boolean {
  if (kind === SenderKind.room) return of === room;
  return kind === SenderKind.user ? of === index : kind === SenderKind.everyone;
}

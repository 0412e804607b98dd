import type { ConnectionKey, UserId } from '@halley/protocol/ids';

import type { Position, ShardEntry } from '../streams/streams.js';
import type { Archive, ArchivedEntry, Retention } from './archive.js';

export interface ArchiveHarness {
  /** Started, on nothing but what the suite writes. */
  readonly archive: Archive;
  /** Bytes that the stored bodies and entries take, roughly; grows by what is written. */
  storedBytes(): Promise<number>;
  /** How many bodies are kept for several streams. */
  sharedBodies(): Promise<number>;
}

let epochs = 0;

/** An epoch of one test: its entries are in nobody's way. */
export function freshEpoch(): string {
  epochs += 1;
  return `epoch ${process.pid} ${epochs}`;
}

/** A row; whatever is not said has some value. */
export function row(
  stream: string,
  position: Position,
  fields: Partial<ShardEntry['entry']> = {},
): ShardEntry {
  const entry = {
    position,
    prev: -1,
    id: `id-${position}`,
    operation: 1_000,
    body: Buffer.from(`body ${position}`),
    keys: [],
    acceptedAtMs: 1_000 + position,
    expireAtMs: 0,
    traceparent: '',
    caller: 'test',
    ...fields,
  };
  return { stream, entry };
}

/** Stores rows of shard 0 behind what is archived; the watermark becomes the newest position. */
export async function store(archive: Archive, epoch: string, rows: readonly ShardEntry[]): Promise<void> {
  const from = await archive.watermark(0, epoch);
  const through = Math.max(from, ...rows.map(({ entry }) => entry.position));
  const [stored] = await archive.store(epoch, [{ shard: 0, from, through, entries: rows }]);
  if (!stored) throw new Error('somebody else moved the watermark');
}

/** What an adapter answers for a row. */
export function archived({ entry }: ShardEntry): ArchivedEntry {
  const { prev: _, ...rest } = entry;
  return comparable(rest);
}

/** An entry whose body compares by its bytes, whatever class they came in. */
export function comparable(entry: ArchivedEntry): ArchivedEntry {
  return { ...entry, body: new Uint8Array(entry.body), keys: [...entry.keys] };
}

/** All of a stream that can be resumed from. */
export async function readAll(archive: Archive, epoch: string, stream: string): Promise<ArchivedEntry[]> {
  const page = await archive.read(epoch, {
    stream,
    after: -1,
    through: Number.MAX_SAFE_INTEGER,
    maxEntries: 100_000,
    maxBytes: 2 ** 40,
  });
  return page.entries.map(comparable);
}

export async function floorOf(archive: Archive, epoch: string, stream: string): Promise<Position> {
  const page = await archive.read(epoch, { stream, after: -1, through: -1, maxEntries: 1, maxBytes: 1 });
  return page.floor;
}

/** Positions of all of a stream's history, the oldest first. */
export async function historyOf(archive: Archive, epoch: string, stream: string): Promise<Position[]> {
  const page = await archive.history(epoch, { stream, direction: 'forward', maxEntries: 100_000 });
  return page.entries.map(({ position }) => position);
}

/** A retention that lets nothing go but what is said. */
export function keeping(
  resume: Partial<Retention['resume']>,
  history: Partial<Retention['history']> = {},
): Retention {
  const all = { sinceMs: 0, maxEntries: 1_000_000 };
  return { resume: { ...all, ...resume }, history: { ...all, ...history } };
}

/** Retains until nothing is left to do. Answers how many rows went. */
export async function retainAll(archive: Archive, retention: Retention): Promise<number> {
  let gone = 0;
  // A call that only moves floors answers 0, as one that looked at streams without work.
  for (let idle = 0; idle < 6;) {
    const went = await archive.retain(retention);
    gone += went;
    idle = went === 0 ? idle + 1 : 0;
  }
  return gone;
}

export const mid = (text: string): UserId => text as UserId;
export const key = (text: string): ConnectionKey => text as ConnectionKey;

import { HalleyError } from '@halley/protocol/error';

import { collapseIdIn, type PlannedPush } from './append-plan.js';
import { encodeContent, encodeOwn } from './entry-codec.js';
import { keyText, type ShardRecord, type StreamTables } from './embedded-tables.js';
import {
  BEFORE_ALL,
  ID_LIFETIME_MS,
  NEWEST_LIFETIME_MS,
  type AppendAnswer,
  type AppendBatch,
  type Appended,
  type Position,
  type Repeated,
} from './streams.js';

/** Takes a batch in, within a transaction; everything is checked before the first write. */
export function appendTo(
  tables: StreamTables,
  batch: AppendBatch,
  plan: readonly PlannedPush[],
  nowMs: number,
): AppendAnswer {
  const state = tables.shards.get([batch.shard]);
  if (state?.epoch !== batch.epoch) return { outcome: 'empty' };
  if (state.applied < batch.before) return { outcome: 'behind', applied: state.applied };

  const known = new Map<string, Position>();
  const entries: Appended[] = [];
  const repeated: Repeated[] = [];
  for (const planned of plan) {
    const { push, idKey } = planned;
    if (push.position <= state.applied) {
      for (const { stream } of planned.targets) {
        const newest = known.has(stream) ? undefined : toldNewest(tables, stream, state, nowMs);
        if (newest !== undefined) known.set(stream, newest);
      }
      continue;
    }
    const before = idKey === '' ? undefined : tables.ids.get([batch.shard, idKey]);
    // The same position is the same push: it was taken in before the shard was restored.
    if (before && before[2] > nowMs && before[0] !== push.position) {
      repeated.push({ position: push.position, id: push.id, conflict: before[1] !== push.digest });
      continue;
    }
    entries.push(...write(tables, batch.shard, planned, state, nowMs));
  }
  const applied = Math.max(state.applied, batch.through);
  if (applied > state.applied) void tables.shards.put([batch.shard], { ...state, applied });
  return {
    outcome: 'appended',
    applied,
    entries,
    repeated,
    known: [...known].map(([stream, newest]) => ({ stream, newest })),
  };
}

function write(
  tables: StreamTables,
  shard: number,
  planned: PlannedPush,
  state: ShardRecord,
  nowMs: number,
): Appended[] {
  const { push, idKey, inline, targets } = planned;
  const { position } = push;
  const content = encodeContent(push);
  const entries = targets.map(({ stream, keys }) => {
    const own = encodeOwn(keys, inline);
    const prev = newestOf(tables, stream, state, nowMs) ?? state.trimmed;
    const value = Buffer.allocUnsafe(8 + own.byteLength + (inline ? content.byteLength : 0));
    value.writeDoubleBE(prev, 0);
    value.set(own, 8);
    if (inline) value.set(content, 8 + own.byteLength);
    void tables.entries.put([keyText(stream), position], value);
    void tables.newest.put([keyText(stream)], [position, state.life, nowMs + NEWEST_LIFETIME_MS]);
    return { stream, position, prev };
  });
  if (entries.length > 0) {
    void tables.index.put(
      [shard, position],
      targets.map(({ stream }) => stream),
    );
    if (!inline) void tables.contents.put([shard, position], content);
    putCollapses(tables, shard, planned);
  }
  const untilMs = push.acceptedAtMs + ID_LIFETIME_MS;
  if (idKey !== '' && untilMs > nowMs) {
    void tables.ids.put([shard, idKey], [position, push.digest, untilMs]);
    void tables.idEnds.put([untilMs, shard, idKey], 1);
  }
  return entries;
}

function putCollapses(tables: StreamTables, shard: number, { push, targets }: PlannedPush): void {
  if (!push.collapseKey) return;
  const { position } = push;
  const collapsing = targets.map((target) => {
    return { stream: target.stream, collapseId: collapseIdIn(push, target) };
  });
  for (const { stream, collapseId } of collapsing)
    void tables.collapses.put([shard, collapseId, keyText(stream)], position);
  void tables.collapseIndex.put(
    [shard, position],
    collapsing.map(({ stream, collapseId }) => [stream, collapseId]),
  );
}

/** The newest position of a stream in this life of its shard; by its entries when it was forgotten after its time. */
function newestOf(
  { newest, entries }: StreamTables,
  stream: string,
  { life }: ShardRecord,
  nowMs: number,
): Position | undefined {
  const name = keyText(stream);
  const known = newest.get([name]);
  if (known && known[1] === life && known[2] > nowMs) return known[0];
  const last = entries.getKeys({ start: [name, Infinity], end: [name, -1], reverse: true, limit: 1 });
  for (const key of last) return Number(key[1]);
  return undefined;
}

/** What is told as newest: what came before the shard was restored is not known. */
export function toldNewest(
  tables: StreamTables,
  stream: string,
  state: ShardRecord,
  nowMs: number,
): Position | undefined {
  const newest = newestOf(tables, stream, state, nowMs);
  return newest ?? (state.restored === BEFORE_ALL ? undefined : state.restored);
}

/** Removes entries of a shard up to a position, of a bounded number of positions; answers whether more are left. */
export function dropFrom(
  tables: StreamTables,
  shard: number,
  through: Position,
  maxPositions: number,
): { readonly last: Position | undefined; readonly more: boolean } {
  const range = { start: [shard, 0], end: [shard, through + 1], limit: maxPositions + 1 };
  const found = [...tables.index.getRange(range)];
  const going = found.slice(0, maxPositions);
  for (const { key, value: streams } of going) {
    const position = Number(key[1]);
    for (const stream of streams) void tables.entries.remove([keyText(stream), position]);
    void tables.contents.remove([shard, position]);
    dropCollapses(tables, shard, position);
    void tables.index.remove([shard, position]);
  }
  const last = going.at(-1);
  return { last: last && Number(last.key[1]), more: found.length > going.length };
}

function dropCollapses(tables: StreamTables, shard: number, position: Position): void {
  const collapsing = tables.collapseIndex.get([shard, position]);
  if (!collapsing) return;
  for (const [stream, id] of collapsing) {
    const key = [shard, id, keyText(stream)];
    if (tables.collapses.get(key) === position) void tables.collapses.remove(key);
  }
  void tables.collapseIndex.remove([shard, position]);
}

/** What a failed write of the file means to whoever appends. */
export function writeFailure(error: unknown): HalleyError {
  if (error instanceof HalleyError) return error;
  const text = error instanceof Error ? error.message : String(error);
  const full = /ENOSPC|MDB_MAP_FULL|No space left/i.test(text);
  return new HalleyError(
    full ? 'store_full' : 'store_unavailable',
    full ? 'The disk of the data folder is full.' : 'The data folder took no write.',
    { cause: error },
  );
}

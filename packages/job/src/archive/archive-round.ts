import type { StoreBatch } from '@halley/store/archive/archive';
import type { Position, ShardEntry } from '@halley/store/streams/streams';

import type { ArchiveLane } from './archive-lane.js';
import type { ArchiverDeps } from './archiver.js';

/** Of the bodies of a round; of a partition one page is taken in any case. */
const MAX_BYTES = 8 * 1_048_576;

interface Page {
  readonly through: Position;
  readonly entries: readonly ShardEntry[];
}

/** What a round found of one partition. */
interface Look {
  readonly lane: ArchiveLane;
  readonly from: Position;
  /** When its streams were asked, and up to where they were known to have everything; Infinity when that was not known. */
  readonly sinceMs: number;
  readonly goal: Position;
  /** Undefined where the streams know nothing of it. */
  readonly page: Page | undefined;
}

interface Failure {
  readonly lane: ArchiveLane;
  readonly error: unknown;
}

/** One round of the archive, with what several partitions have. */
export class ArchiveRound {
  constructor(private readonly deps: ArchiverDeps) {}

  /**
   * Archives a page of each lane, those first that stand first, of as many as fit, and tells the lanes how it went; answers
   * which failed, and why. `share` is the part of the limits that it may take.
   */
  async run(lanes: readonly ArchiveLane[], share: number): Promise<readonly Failure[]> {
    const failures: Failure[] = [];
    const fail = (lane: ArchiveLane, error: unknown): void => {
      lane.failed();
      failures.push({ lane, error });
    };
    for (const lane of lanes) lane.begin();
    const sinceMs = this.deps.clock.monotonicMs();
    const known = await this.#readWatermarks(lanes, fail);
    const looks = await this.#scan(known, share, fail);
    const [taken, left] = fitting(looks, this.deps.limits.maxEntries * share);
    for (const { lane, sinceMs: at } of left) lane.looked(at, true);
    const stored = await this.#store(taken, fail);
    await this.#trim(stored, fail);
    if (stored.length > 0)
      this.deps.metrics.archiveSeconds.observe((this.deps.clock.monotonicMs() - sinceMs) / 1_000);
    return failures;
  }

  /** Learns watermarks that are not known; answers the lanes of which it is. */
  async #readWatermarks(
    lanes: readonly ArchiveLane[],
    fail: (lane: ArchiveLane, error: unknown) => void,
  ): Promise<readonly ArchiveLane[]> {
    const unknown = lanes.filter(({ watermark }) => watermark === undefined);
    await this.#learn(unknown, fail);
    return lanes.filter(({ watermark }) => watermark !== undefined);
  }

  async #learn(
    lanes: readonly ArchiveLane[],
    fail: (lane: ArchiveLane, error: unknown) => void,
  ): Promise<boolean> {
    if (lanes.length === 0) return true;
    const { archive, epoch } = this.deps;
    try {
      const shards = lanes.map(({ shard }) => shard);
      const watermarks = await archive.watermarks(shards, epoch);
      for (const lane of lanes) lane.archivedThrough(watermarks.get(lane.shard)!);
      return true;
    } catch (error) {
      for (const lane of lanes) fail(lane, error);
      return false;
    }
  }

  /** Reads a page of each, all at once. */
  async #scan(
    lanes: readonly ArchiveLane[],
    share: number,
    fail: (lane: ArchiveLane, error: unknown) => void,
  ): Promise<readonly Look[]> {
    const { streams, epoch, limits, clock } = this.deps;
    const each = Math.max(1, Math.floor((limits.maxEntries * share) / lanes.length));
    const looks = await Promise.all(
      lanes.map(async (lane): Promise<Look | undefined> => {
        const asked = {
          lane,
          from: lane.watermark!,
          sinceMs: clock.monotonicMs(),
          goal: lane.appendedThrough ?? Infinity,
        };
        try {
          return { ...asked, page: await streams.scan(lane.shard, epoch, asked.from, each) };
        } catch (error) {
          fail(lane, error);
          return undefined;
        }
      }),
    );
    return looks.filter((look) => look !== undefined);
  }

  /** Writes what is new in one transaction; answers the looks of which all went well. */
  async #store(
    looks: readonly Look[],
    fail: (lane: ArchiveLane, error: unknown) => void,
  ): Promise<readonly Look[]> {
    const { archive, epoch, metrics } = this.deps;
    // A shard that knows nothing, or less, is filled again by whoever reads the partition.
    const fresh = looks.filter(({ from, page }) => page && page.through > from);
    if (fresh.length === 0) return looks;
    const batches = fresh.map(({ lane, from, page }): StoreBatch => ({ shard: lane.shard, from, ...page! }));
    let stored;
    try {
      stored = await archive.store(epoch, batches);
    } catch (error) {
      for (const { lane } of fresh) fail(lane, error);
      return looks.filter((look) => !fresh.includes(look));
    }
    const stale: ArchiveLane[] = [];
    for (const [index, { lane, page }] of fresh.entries()) {
      if (stored[index]) {
        lane.archivedThrough(page!.through);
        metrics.archived.inc(page!.entries.length);
      } else {
        stale.push(lane);
      }
    }
    // There another node was faster, or this one's earlier write was carried out after all.
    if (await this.#learn(stale, fail)) return looks;
    return looks.filter(({ lane }) => !stale.includes(lane));
  }

  /** Lets the streams go of what is archived, all at once, and tells the lanes that they were looked at. */
  async #trim(looks: readonly Look[], fail: (lane: ArchiveLane, error: unknown) => void): Promise<void> {
    const { streams, epoch } = this.deps;
    await Promise.all(
      looks.map(async ({ lane, from, sinceMs, goal, page }) => {
        const watermark = lane.watermark!;
        try {
          if (page) await streams.trim(lane.shard, epoch, watermark);
        } catch (error) {
          fail(lane, error);
          return;
        }
        lane.looked(sinceMs, page !== undefined && page.through > from && watermark < goal);
      }),
    );
  }
}

/** As many as the limits take, one at least, and the others. */
function fitting(looks: readonly Look[], maxEntries: number): readonly [readonly Look[], readonly Look[]] {
  let [entries, bytes] = [0, 0];
  const end = looks.findIndex(({ page }) => {
    entries += page?.entries.length ?? 0;
    for (const { entry } of page?.entries ?? []) bytes += entry.body.byteLength;
    return entries > maxEntries || bytes > MAX_BYTES;
  });
  const count = end < 0 ? looks.length : Math.max(1, end);
  return [looks.slice(0, count), looks.slice(count)];
}

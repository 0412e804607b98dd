import { constants, performance, type PerformanceEntry, PerformanceObserver } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { getHeapSpaceStatistics, setFlagsFromString } from 'node:v8';

import { loadNativeSend } from '../delivery/send-all.js';
import type { ProcessMemory } from './memory-trimmer.js';

/**
 * More memory outside of the heap than V8 lets an object hold before it starts a collection (64 MiB). It is not touched, so
 * the system never has to provide it.
 */
const PRESSURE_BYTES = 72 * 1_048_576;
/** V8 marks within a second; where it doesn't, it is left alone. */
const COLLECT_WITHIN_MS = 5_000;
/** For pages to be swept, and what lay outside of the heap to be freed, which other threads do. */
const SWEEP_MS = 100;

/** As Node describes a collection. */
interface CollectionEntry extends PerformanceEntry {
  readonly detail?: { readonly kind?: number };
}

/** The memory of this process: V8's, and malloc's where there is the native addon. */
export function processMemory(): ProcessMemory {
  const native = loadNativeSend();
  let loop = performance.eventLoopUtilization();
  return {
    spareBytes: () =>
      getHeapSpaceStatistics().reduce(
        (sum, space) => sum + Math.max(0, space.physical_space_size - space.space_used_size),
        0,
      ),
    collect,
    giveBack: () => {
      if ('giveBack' in native) native.giveBack();
    },
    busyShare: () => {
      const now = performance.eventLoopUtilization();
      const { utilization } = performance.eventLoopUtilization(now, loop);
      loop = now;
      return utilization;
    },
  };
}

/**
 * A collection that marks beside the loop, and not in one go as `gc()` does: V8 starts it when memory outside of the heap
 * grows. While it optimizes for size it makes the young generation small, and moves what is left in half-empty pages together.
 */
async function collect(): Promise<void> {
  const ended = new AbortController();
  const observer = new PerformanceObserver((entries) => {
    if ((entries.getEntries() as CollectionEntry[]).some(isMajor)) ended.abort();
  });
  observer.observe({ entryTypes: ['gc'] });
  setFlagsFromString('--optimize-for-size');
  try {
    void new ArrayBuffer(PRESSURE_BYTES);
    await sleep(COLLECT_WITHIN_MS, undefined, { signal: ended.signal, ref: false });
  } catch {
    // It has ended; or there is no memory to ask for.
  } finally {
    setFlagsFromString('--no-optimize-for-size');
    observer.disconnect();
  }
  await sleep(SWEEP_MS, undefined, { ref: false });
}

function isMajor({ detail }: CollectionEntry): boolean {
  return detail?.kind === constants.NODE_PERFORMANCE_GC_MAJOR;
}

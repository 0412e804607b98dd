import { reasonText } from './unreached.js';
import type { BenchOptions } from './options.js';
import type { ConnectResult, LoadResult, TrafficResult } from './result.js';

/** Above it the figures are those of the load side. */
const BUSY_PERCENT = 80;
/** Pushes that leave later than this are no steady load. */
const LATE_MS = 20;
const MAX_REASONS_TOLD = 3;

/** What is against the server; nothing is a pass. */
export function trafficFaults(
  traffic: TrafficResult,
  { inFlight }: Pick<BenchOptions, 'inFlight'>,
): string[] {
  const { lost, expected, outOfOrder, strays, refused, unknown, unsent, closed } = traffic;
  const whys = reasonText(Object.fromEntries(Object.entries(traffic.whys).slice(0, MAX_REASONS_TOLD)));
  return [
    ...(lost > 0 ? [`${lost} of ${expected} messages were lost (${percent(lost, expected)})`] : []),
    // Calls of one caller that are under way together may overtake each other.
    ...(outOfOrder > 0 && inFlight === 1 ? [`${outOfOrder} messages came out of order`] : []),
    ...(strays > 0 ? [`${strays} messages came to whom they were not for`] : []),
    ...(refused > 0 ? [`${refused} pushes were refused: ${whys}`] : []),
    ...(unknown > 0 ? [`${unknown} pushes had no answer that says what became of them: ${whys}`] : []),
    ...(unsent > 0
      ? [`${unsent} pushes were never sent: the rate was too high for the server, or for these callers`]
      : []),
    ...closedFaults(closed),
  ];
}

/** Connections that failed, or that were made again. */
export function connectFaults(connects: readonly ConnectResult[]): string[] {
  return connects.flatMap(({ failed, retried }) => [
    ...(Object.keys(failed).length > 0 ? [`connections were given up: ${reasonText(failed)}`] : []),
    ...(Object.keys(retried).length > 0
      ? [`connections failed and were tried again: ${reasonText(retried)}`]
      : []),
  ]);
}

/** Where the figures are those of whoever measures: a core of its own was not enough, or all cores together. */
export function loadWarnings(
  { readersPercent, pusherPercent }: LoadResult,
  { processes, cores }: { readonly processes: number; readonly cores: number },
): string[] {
  const reader = readersPercent / processes;
  const all = (readersPercent + pusherPercent) / cores;
  const busiest = Math.max(reader, pusherPercent, all);
  if (busiest <= BUSY_PERCENT) return [];
  const [who, remedy] =
    busiest === reader
      ? ['the readers', 'more --processes']
      : busiest === pusherPercent
        ? ['the pusher', 'a batched --via, or a lower --rate']
        : ['readers and pusher together', 'more cores, or another machine'];
  return [
    `${who} took ${busiest.toFixed(0)} % of what they can have: the figures are the load's, not the server's; ${remedy} helps`,
  ];
}

/** Where pushes did not leave when they were due. With calls that wait for answers it may be the server that is slow. */
export function latenessWarnings({ lateness }: TrafficResult): string[] {
  if (lateness.p99Ms <= LATE_MS) return [];
  return [
    `1 % of the pushes left ${lateness.p99Ms.toFixed(0)} ms and more after they were due: callers waited for answers, or had no processor`,
  ];
}

function closedFaults(closed: Readonly<Record<string, number>>): string[] {
  return Object.keys(closed).length > 0 ? [`the server ended connections: ${reasonText(closed)}`] : [];
}

function percent(part: number, whole: number): string {
  const value = (100 * part) / Math.max(1, whole);
  return `${value < 0.01 ? value.toPrecision(1) : value.toFixed(2)} %`;
}

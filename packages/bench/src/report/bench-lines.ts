import type { LatencySummary } from '../measure/latency.js';
import type {
  BenchResult,
  BenchSample,
  ConnectResult,
  RampStep,
  TierResult,
  TrafficResult,
} from '../scenario/result.js';
import { memoryGrowth } from '../scenario/growth.js';
import { bytesText, columns, count, micros, percentText, shortTime } from './figures.js';

/** What stands at the end of `halley bench`, line by line, without the verdict. docs/benchmarking.md says what each means. */
export function benchLines(result: BenchResult): string[] {
  const { connects, traffic, steps, tiers, load } = result;
  return [
    ...connects.map((connect) => connectLine(connect)),
    ...(traffic ? trafficLines(traffic) : []),
    ...(steps ? rampLines(steps) : columns(tierTable(tiers))),
    ...growthLines(result),
    `load      readers (${load.kind === 'native' ? 'C' : 'Node'}) ${percentText(load.readersPercent)}, pusher ${percentText(load.pusherPercent)} of a core`,
  ];
}

/** `passed`, or what is against the server. */
export function verdictText({
  faults,
  traffic,
  steps,
}: Pick<BenchResult, 'faults' | 'traffic' | 'steps'>): string {
  if (faults.length > 0) return `failed: ${faults.join('; ')}`;
  return traffic || steps
    ? 'passed: nothing lost, nothing out of order, nothing refused'
    : 'passed: every connection was made at its first attempt';
}

/** One line while it runs. */
export function sampleLine(sample: BenchSample): string {
  const { atMs, connections, pushesPerSecond, deliveredPerSecond, p50Ms, p99Ms, cpuPercent } = sample;
  const cpu = Object.entries(cpuPercent)
    .map(([tier, percent]) => `${tier} ${percent.toFixed(0)} %`)
    .join(', ');
  return [
    `${(atMs / 1_000).toFixed(1).padStart(6)} s`,
    `${count(connections)} connections`,
    `${count(pushesPerSecond)} pushes/s`,
    `${count(deliveredPerSecond)} delivered/s`,
    `p50 ${shortTime(p50Ms)}`,
    `p99 ${shortTime(p99Ms)}`,
    ...(cpu === '' ? [] : [cpu]),
  ].join('  ');
}

/** Whether memory grows: of a soak, from its second quarter on. */
function growthLines({ scenario, samples }: BenchResult): string[] {
  if (scenario !== 'soak') return [];
  const growth = memoryGrowth(samples);
  if (growth.length === 0)
    return ['memory    the run was too short to tell whether it grows: three minutes tell'];
  return growth.map(
    ({ tier, bytesPerHour }) => `memory    of ${tier} changes by ${bytesText(bytesPerHour)} an hour`,
  );
}

function connectLine({ connected, perSecond, elapsedMs, latency }: ConnectResult): string {
  return `connected ${count(connected)} in ${shortTime(elapsedMs)}, ${count(perSecond)} a second; ${latencyText(latency)}`;
}

function trafficLines(traffic: TrafficResult): string[] {
  const { ok, refused, unknown, unsent, expected, delivered, lost, outOfOrder, repeated } = traffic;
  const others = Object.entries({ refused, unknown, unsent }).filter(([, value]) => value > 0);
  return [
    `pushed    ${count(ok)} OK${others.map(([name, value]) => `, ${count(value)} ${name}`).join('')}; ${count(traffic.pushesPerSecond)} a second`,
    `delivered ${count(delivered)} of ${count(expected)}, ${count(traffic.deliveredPerSecond)} a second; lost ${lost}, out of order ${outOfOrder}, repeated ${repeated}`,
    `answered  ${latencyText(traffic.answers)}`,
    `latency   ${latencyText(traffic.latency)}`,
    `          of it the bench's own: p50 ${shortTime(traffic.lateness.p50Ms)}, p99 ${shortTime(traffic.lateness.p99Ms)}; the last message came ${shortTime(traffic.lastAfterMs)} after the last push`,
  ];
}

function latencyText({ count: times, p50Ms, p90Ms, p99Ms, p999Ms, maxMs }: LatencySummary): string {
  if (times === 0) return 'none';
  return `p50 ${shortTime(p50Ms)}, p90 ${shortTime(p90Ms)}, p99 ${shortTime(p99Ms)}, p99.9 ${shortTime(p999Ms)}, max ${shortTime(maxMs)}`;
}

/** A table of the tiers: its head, then each; empty when none was measured. Columns without a cell are left out. */
export function tierTable(tiers: readonly TierResult[]): string[][] {
  if (tiers.length === 0) return [];
  const shown = TIER_COLUMNS.filter(({ of }) => tiers.some((tier) => of(tier) !== ''));
  return [
    ['TIER', ...shown.map(({ title }) => title)],
    ...tiers.map((tier) => [
      tier.processes > 1 ? `${tier.tier} ×${tier.processes}` : tier.tier,
      ...shown.map(({ of }) => of(tier)),
    ]),
  ];
}

const TIER_COLUMNS: readonly { readonly title: string; readonly of: (tier: TierResult) => string }[] = [
  { title: 'CPU', of: ({ cpuPercent }) => percentText(cpuPercent) },
  {
    title: 'A DELIVERED MESSAGE',
    of: ({ microsPerDelivered: value }) => (value === undefined ? '' : micros(value)),
  },
  { title: 'A PUSH', of: ({ microsPerPush: value }) => (value === undefined ? '' : micros(value)) },
  {
    title: 'A CONNECTION',
    of: ({ microsPerConnection: value }) => (value === undefined ? '' : micros(value)),
  },
  { title: 'MEMORY', of: ({ rssBytes }) => bytesText(rssBytes) },
  {
    title: 'MEMORY A CONNECTION',
    of: ({ bytesPerConnection: value }) => (value === undefined ? '' : bytesText(value)),
  },
];

/** Columns of a ramp's table, and the cells of each step. */
export const RAMP_COLUMNS: readonly { readonly title: string; readonly of: (step: RampStep) => string }[] = [
  { title: 'CONNECTIONS', of: ({ connections }) => count(connections) },
  { title: 'CONNECTED/S', of: ({ connectPerSecond }) => count(connectPerSecond) },
  { title: 'DELIVERED/S', of: ({ traffic }) => count(traffic.deliveredPerSecond) },
  { title: 'LOST', of: ({ traffic }) => count(traffic.lost) },
  { title: 'P50', of: ({ traffic }) => shortTime(traffic.latency.p50Ms) },
  { title: 'P99', of: ({ traffic }) => shortTime(traffic.latency.p99Ms) },
  { title: 'COMET A MESSAGE', of: (step) => cometOf(step, ({ microsPerDelivered: value }) => value, micros) },
  { title: 'COMET MEMORY', of: (step) => cometOf(step, ({ rssBytes }) => rssBytes, bytesText) },
];

function rampLines(steps: readonly RampStep[]): string[] {
  return columns([
    RAMP_COLUMNS.map(({ title }) => title),
    ...steps.map((step) => RAMP_COLUMNS.map(({ of }) => of(step))),
  ]);
}

function cometOf(
  { tiers }: RampStep,
  value: (tier: TierResult) => number | undefined,
  text: (value: number) => string,
): string {
  const comet = tiers.find(({ tier }) => tier.includes('comet'));
  const found = comet && value(comet);
  return found === undefined ? '' : text(found);
}

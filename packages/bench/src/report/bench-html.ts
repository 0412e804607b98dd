import type { PercentilePoint } from '../measure/latency.js';
import type { BenchResult, BenchSample, TrafficResult } from '../scenario/result.js';
import { RAMP_COLUMNS, tierTable, verdictText } from './bench-lines.js';
import { svgCharts, type Series } from './chart.js';
import { type Curve, svgCurves } from './curve.js';
import { count, percentText, shortTime } from './figures.js';
import { card, cards, htmlPage, htmlTable, list } from './page.js';

const COLOURS = ['#2e90fa', '#12b76a', '#f79009', '#9e77ed', '#f04438', '#06aed4', '#ee46bc', '#667085'];
const MB = 1_048_576;

/** The report of a run as one file: verdict, figures, plots over time, the curve of percentiles, tables, JSON. */
export function benchHtml(result: BenchResult): string {
  const { scenario, target, startedAt, settings, faults, warnings, traffic, steps, tiers } = result;
  return htmlPage({
    title: `halley bench ${scenario}: ${faults.length === 0 ? 'passed' : 'failed'}`,
    isGood: faults.length === 0,
    subtitle: `${target} · ${startedAt} · ${Object.entries(settings)
      .map(([name, value]) => `${name} ${value}`)
      .join(' · ')}`,
    parts: [
      `<p>${verdictText(result).replace(/[<&]/g, ' ')}</p>`,
      list('What is against the figures', warnings),
      traffic ? trafficCards(traffic, result) : connectCards(result),
      overTime(result.samples),
      traffic ? percentilePlot([{ name: 'latency', points: traffic.percentiles }]) : '',
      steps
        ? percentilePlot(
            steps.map((step) => ({
              name: `${count(step.connections)} connections`,
              points: step.traffic.percentiles,
            })),
          )
        : '',
      steps
        ? htmlTable('Steps', [
            RAMP_COLUMNS.map(({ title }) => title.toLowerCase()),
            ...steps.map((step) => RAMP_COLUMNS.map(({ of }) => of(step))),
          ])
        : '',
      tiers.length > 0
        ? htmlTable(
            'Tiers',
            tierTable(tiers).map((row, index) =>
              index === 0 ? row.map((cell) => (cell === 'CPU' ? 'CPU, of a core' : cell.toLowerCase())) : row,
            ),
          )
        : '',
    ],
    result,
  });
}

function trafficCards(
  { latency, lost, outOfOrder, ...traffic }: TrafficResult,
  { load }: BenchResult,
): string {
  return cards([
    card(count(traffic.deliveredPerSecond), 'delivered/s'),
    card(count(traffic.pushesPerSecond), 'pushes/s'),
    card(count(lost), 'lost', lost === 0 ? 'good' : 'bad'),
    card(count(outOfOrder), 'out of order', outOfOrder === 0 ? 'good' : 'bad'),
    card(shortTime(latency.p50Ms), 'p50'),
    card(shortTime(latency.p99Ms), 'p99'),
    card(shortTime(latency.p999Ms), 'p99.9'),
    card(shortTime(latency.maxMs), 'longest'),
    card(percentText(load.readersPercent + load.pusherPercent), 'of a core for the load side'),
  ]);
}

function connectCards({ connects }: BenchResult): string {
  const last = connects.at(-1);
  if (!last) return '';
  return cards([
    card(count(last.connected), 'connections'),
    card(count(last.perSecond), 'connections/s'),
    card(shortTime(last.latency.p50Ms), 'p50 until authenticated'),
    card(shortTime(last.latency.p99Ms), 'p99'),
    card(shortTime(last.latency.maxMs), 'longest'),
  ]);
}

function overTime(samples: readonly BenchSample[]): string {
  const [first, second] = samples;
  if (!first || !second) return '';
  const sliceMs = Math.max(1, (samples.at(-1)?.atMs ?? 0) - first.atMs) / (samples.length - 1);
  const line = (name: string, index: number, of: (sample: BenchSample) => number): Series => ({
    name,
    colour: COLOURS[index % COLOURS.length] ?? '#667085',
    values: samples.map(of),
  });
  const tiers = [...new Set(samples.flatMap(({ cpuPercent }) => Object.keys(cpuPercent)))];
  const connections = new Set(samples.map((sample) => sample.connections));
  const charts = [
    { title: 'Delivered a second', series: [line('', 0, (sample) => sample.deliveredPerSecond)] },
    { title: 'Pushes a second', series: [line('', 1, (sample) => sample.pushesPerSecond)] },
    {
      title: 'Latency, ms',
      // Where nothing came there is no latency.
      series: [
        line('p50', 0, ({ deliveredPerSecond, p50Ms }) => (deliveredPerSecond > 0 ? p50Ms : Number.NaN)),
        line('p99', 2, ({ deliveredPerSecond, p99Ms }) => (deliveredPerSecond > 0 ? p99Ms : Number.NaN)),
      ],
    },
    ...(tiers.length > 0
      ? [
          {
            title: 'Percent of a core',
            series: tiers.map((tier, index) => line(tier, index, (sample) => sample.cpuPercent[tier] ?? 0)),
          },
          {
            title: 'Memory, MB',
            series: tiers.map((tier, index) =>
              line(tier, index, (sample) => (sample.rssBytes[tier] ?? 0) / MB),
            ),
          },
        ]
      : []),
    ...(connections.size > 1
      ? [{ title: 'Connections', series: [line('', 3, (sample) => sample.connections)] }]
      : []),
  ];
  return `<h2>Over time</h2>${svgCharts({ endMs: sliceMs * samples.length, sliceMs }, [], charts)}`;
}

/** Each nine of the percentile is as far from the one before: 90, 99, 99.9 … */
export function percentilePlot(
  all: readonly { readonly name: string; readonly points: readonly PercentilePoint[] }[],
): string {
  const place = (percentile: number): number => -Math.log10(Math.max(1 - percentile / 100, 1e-6));
  const curves = all.map(({ name, points }, index): Curve => ({
    name,
    colour: COLOURS[index % COLOURS.length] ?? '#667085',
    points: points
      .filter(({ percentile }) => percentile < 100)
      .map(({ percentile, ms }) => ({
        x: place(percentile),
        y: ms,
        label: `p${percentile} ${shortTime(ms)}`,
      })),
  }));
  const most = Math.max(...curves.flatMap(({ points }) => points.map(({ x }) => x)), 2);
  const ticks = [0, 50, 90, 99, 99.9, 99.99, 99.999]
    .map((percentile) => ({ x: place(percentile), text: percentile === 0 ? 'least' : `p${percentile}` }))
    .filter(({ x }) => x <= most + 1e-9);
  return svgCurves('Latency by percentile', curves, ticks);
}

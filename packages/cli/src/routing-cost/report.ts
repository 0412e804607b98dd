import { RoutedCluster } from './routed-cluster.js';
import { costsOf, type Cost } from './shapes.js';
import type { Sent } from './sent.js';

const HEAD = [
  '',
  'comets',
  'messages',
  'bytes',
  'store calls',
  'goim: comets',
  'messages',
  'bytes',
  'store calls',
];

/** Counts what the shapes cost on so many comets, and answers a table of it, as Markdown. */
export async function routingCost({
  comets = 300,
  bodyBytes = 100,
}: { comets?: number; bodyBytes?: number } = {}): Promise<{ costs: readonly Cost[]; table: string }> {
  const cluster = await RoutedCluster.open(comets);
  try {
    const costs = await costsOf(cluster, bodyBytes);
    return { costs, table: tableOf(costs) };
  } finally {
    await cluster.close();
  }
}

function tableOf(costs: readonly Cost[]): string {
  const rows = costs.map(({ shape, halley, goim }) => [shape, ...cells(halley), ...cells(goim)]);
  const widths = HEAD.map((title, at) => Math.max(title.length, ...rows.map((row) => row[at]!.length)));
  const line = (cellsOf: readonly string[]): string =>
    `| ${cellsOf.map((cell, at) => (at === 0 ? cell.padEnd(widths[at]!) : cell.padStart(widths[at]!))).join(' | ')} |`;
  const rule = widths.map((width, at) => (at === 0 ? '-'.repeat(width) : `${'-'.repeat(width - 1)}:`));
  return [line(HEAD), `| ${rule.join(' | ')} |`, ...rows.map(line)].join('\n');
}

function cells({ comets, messages, bytes, storeCalls }: Sent): string[] {
  return [comets, messages, bytes, storeCalls].map((count) => count.toLocaleString('en-US'));
}

import type { Node__Output } from '@halley/cluster/grpc/gen/halley/push/v1/Node';
import type { Command } from 'commander';

import { oneOf } from '../arguments.js';
import { loadGrpc } from '../client/load-grpc.js';
import { addLogicOptions, type LogicOptions } from '../client/logic-options.js';
import { colours, print, table } from '../terminal.js';

interface NodesOptions extends LogicOptions {
  readonly tier?: string;
  readonly json?: true;
}

/** `halley nodes`: the registered nodes, as a logic sees them. */
export function registerNodes(program: Command): void {
  const command = program
    .command('nodes')
    .description('list the nodes of the cluster')
    .option('--tier <tier>', 'only comet, logic or job', oneOf('comet', 'logic', 'job'))
    .option('--json', 'print JSON');
  addLogicOptions(command).action(async (options: NodesOptions) => {
    const nodes = await list(options);
    for (const line of options.json ? [JSON.stringify(nodes, undefined, 2)] : nodeTable(nodes, Date.now()))
      print(line);
  });
}

async function list(options: NodesOptions): Promise<Node__Output[]> {
  const { withLogic, call, protos } = await loadGrpc();
  const reply = await withLogic(protos.halley.push.v1.PushService, options, (client) =>
    call(client.ListNodes.bind(client), { tier: options.tier ?? '' }),
  );
  const nodes = reply?.nodes ?? [];
  return nodes.toSorted((a, b) => rank(a.tier) - rank(b.tier) || a.id.localeCompare(b.id));
}

/** The table, a line each. */
export function nodeTable(nodes: readonly Node__Output[], nowMs: number): string[] {
  if (nodes.length === 0) return ['No node is registered.'];
  const rows = nodes.map((node) => [
    node.tier,
    node.id,
    node.state,
    node.tier === 'comet' ? String(node.connections) : '-',
    node.tier === 'comet' ? String(node.weight) : '-',
    [node.region, node.zone].filter(Boolean).join('/') || '-',
    age(nowMs - Number(node.registered_at_ms)),
    Object.entries(node.addresses)
      .map(([kind, address]) => `${kind} ${address}`)
      .join(', '),
  ]);
  const lines = table(['TIER', 'NODE', 'STATE', 'CONNECTIONS', 'WEIGHT', 'REGION', 'UP', 'ADDRESSES'], rows);
  return lines.map((line, index) => (nodes[index - 1]?.state === 'draining' ? colours.yellow(line) : line));
}

function rank(tier: string): number {
  return ['comet', 'logic', 'job'].indexOf(tier);
}

function age(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1_000));
  if (seconds < 60) return `${seconds}s`;
  if (seconds < 3_600) return `${Math.floor(seconds / 60)}m`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3_600)}h`;
  return `${Math.floor(seconds / 86_400)}d`;
}

import path from 'node:path';

import { isReady } from '@halley/service/is-ready';

import type { ClusterFile, ClusterNode } from './cluster-file.js';
import { ProcessSlot } from './process-slot.js';
import { startReplacement } from './replaced-process.js';

/** The first port of a tier without an offset: the difference tells a node's. */
const FIRST_PORT: Readonly<Record<ClusterNode['tier'], readonly [kind: string, port: number]>> = {
  comet: ['tcp', 3101],
  logic: ['http', 3111],
  job: ['ops', 3124],
};

export interface NodeSlotDeps {
  readonly cluster: ClusterFile & { readonly pid: number };
  readonly node: ClusterNode;
  /** How the `halley` command is called, as `['node', 'bin/halley.js']`. */
  readonly command: readonly string[];
  /** More arguments for a node that is started again. */
  readonly arguments: readonly string[];
}

/** A comet, logic or job. It is started again as anybody adds a node: `halley TIER --join cluster.json --port-offset N`. */
export class NodeSlot extends ProcessSlot {
  /** Beyond those that it is always started again with; takes effect with the next start. */
  readonly moreArguments: string[] = [];

  constructor(private readonly deps: NodeSlotDeps) {
    super(deps.node.name, deps.node.pid);
  }

  get node(): ClusterNode {
    return this.deps.node;
  }

  protected override launch(): Promise<number> {
    const { cluster, node, command, arguments: more } = this.deps;
    const [kind, port] = FIRST_PORT[node.tier];
    const offset = (node.ports[kind] ?? port) - port;
    const [file = '', ...before] = command;
    // Neither options of node nor settings of whoever runs the check.
    const env = Object.fromEntries(
      Object.entries(process.env).filter(([name]) => name !== 'NODE_OPTIONS' && !name.startsWith('HALLEY_')),
    );
    const own = [...more, ...this.moreArguments, '--port-offset', String(offset)];
    const args = [...before, node.tier, '--join', cluster.path, ...own];
    const logFile = path.join(path.dirname(cluster.path), 'logs', `${node.name}.log`);
    return Promise.resolve(startReplacement({ file, args, env, logFile, cluster }));
  }

  protected override isReady(): Promise<boolean> {
    return isReady(this.deps.node.ports['ops'] ?? 0);
  }
}

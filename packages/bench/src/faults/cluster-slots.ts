import { HalleyError } from '@halley/protocol/error';

import type { ServiceName } from './catalogue.js';
import type { ClusterFile } from './cluster-file.js';
import type { ClusterTargets } from './fault.js';
import type { FaultChoice } from './fault-list.js';
import { Network } from './network.js';
import { NodeSlot } from './node-slot.js';
import { ServiceProcessSlot } from './service-process-slot.js';

export interface ClusterSlotsOptions {
  /** How the `halley` command is called, as `['node', 'bin/halley.js']`. */
  readonly command: readonly string[];
  /** More arguments for nodes that are started again, by tier. */
  readonly arguments?: Readonly<Partial<Record<'comet' | 'logic' | 'job', readonly string[]>>>;
  /** Told the new pid of a service that was started again. */
  readonly onServiceRestarted: (service: ServiceName, pid: number) => Promise<void>;
}

/** The processes of a cluster on this machine, to break and to put right. Without its process id nothing can be started again. */
export function clusterSlots(file: ClusterFile, options: ClusterSlotsOptions): ClusterTargets {
  const { pid } = file;
  if (pid === undefined)
    throw new HalleyError('invalid_argument', `${file.path} is of another version; start the cluster again`);
  const cluster = { ...file, pid };
  const { command, onServiceRestarted } = options;
  // In an order that is the same however often they were started again.
  const processes = file.processes.toSorted((a, b) => (a.ports['ops'] ?? 0) - (b.ports['ops'] ?? 0));
  const nodes = processes.map(
    (node) => new NodeSlot({ cluster, node, command, arguments: options.arguments?.[node.tier] ?? [] }),
  );
  return {
    nodes,
    bus: file.bus,
    openNetwork: (links) => Network.open(file, nodes, links),
    services: Object.entries(file.services).map(
      ([service, running]) =>
        new ServiceProcessSlot({
          cluster,
          service: service as ServiceName,
          running,
          onRestarted: onServiceRestarted,
        }),
    ),
  };
}

/** Refuses faults that need processes where only addresses are known. Throws `invalid_argument`. */
export function requireClientFaults(choices: readonly FaultChoice[]): void {
  const other = choices.find(({ kind }) => kind.needs !== 'clients');
  if (other) {
    throw new HalleyError(
      'invalid_argument',
      `${other.kind.name} needs the cluster's processes: give --against its cluster.json, or --faults drop-clients`,
    );
  }
}

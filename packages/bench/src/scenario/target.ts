import { HalleyError } from '@halley/protocol/error';
import { findPortHolder } from '@halley/service/port-holder';

import type { ClusterFile } from '../faults/cluster-file.js';
import type { MeasuredProcess } from '../measure/tier-meter.js';

/** The server that is measured: Halley, goim, or another one of goim's protocol. */
export interface BenchTarget {
  /** As it was named. */
  readonly name: string;
  /** As `tcp://127.0.0.1:3101`. */
  readonly tcp: readonly string[];
  /** As `ws://127.0.0.1:3102/sub`. */
  readonly websocket: readonly string[];
  /** Of logics, `host:port`. */
  readonly http: readonly string[];
  readonly grpc: readonly string[];
  /** Of comets, `host:port`, in the order of `tcp` and `websocket`. */
  readonly cometGrpc: readonly string[];
  /** Those whose processor time and memory are measured. */
  readonly processes: readonly MeasuredProcess[];
}

/** Addresses as they were given: each replaces the one at the host's usual port. */
export interface TargetAddresses {
  readonly tcp?: string;
  readonly ws?: string;
  readonly http?: string;
  readonly grpc?: string;
  readonly cometGrpc?: string;
}

/** goim's ports, which are Halley's too; 3119 is Halley's business API. */
const PORTS = { tcp: 3101, ws: 3102, http: 3111, grpc: 3119, cometGrpc: 3109 };

/** A server on one host: goim's ports, unless others are given. */
export async function hostTarget(host: string, given: TargetAddresses = {}): Promise<BenchTarget> {
  const at = (kind: keyof typeof PORTS): string => `${host}:${PORTS[kind]}`;
  const target: BenchTarget = {
    name: host,
    tcp: [`tcp://${given.tcp ?? at('tcp')}`],
    websocket: [`ws://${given.ws ?? at('ws')}/sub`],
    http: [given.http ?? at('http')],
    grpc: [given.grpc ?? at('grpc')],
    cometGrpc: [given.cometGrpc ?? at('cometGrpc')],
    processes: [],
  };
  return { ...target, processes: await listeningProcesses(target) };
}

/** A cluster on this machine; the services that it runs on are measured too. */
export function clusterTarget(file: ClusterFile): BenchTarget {
  const at = (tier: string, kind: string, before = '', after = ''): string[] =>
    file.processes
      .filter((one) => one.tier === tier && one.ports[kind] !== undefined)
      .map(({ ports }) => `${before}127.0.0.1:${ports[kind]}${after}`);
  return {
    name: file.path,
    tcp: at('comet', 'tcp', 'tcp://'),
    websocket: at('comet', 'ws', 'ws://', '/sub'),
    http: at('logic', 'http'),
    grpc: at('logic', 'grpc'),
    cometGrpc: at('comet', 'grpc'),
    processes: [
      ...file.processes.map(({ tier, pid }) => ({ tier, pid })),
      ...Object.entries(file.services).map(([tier, { pid }]) => ({ tier, pid })),
    ],
  };
}

/** `comet=123`, where the port does not tell, as of goim's job. Throws `invalid_argument`. */
export function parsePid(text: string): MeasuredProcess {
  const [, tier, pid] = /^([a-z][a-z0-9+-]*)=(\d{1,9})$/.exec(text) ?? [];
  if (tier === undefined)
    throw new HalleyError('invalid_argument', `--pid ${text} is no TIER=PID, as comet=4711`);
  return { tier, pid: Number(pid) };
}

/** With these processes too; one that is known already is of the tier that is told here. */
export function withPids(target: BenchTarget, pids: readonly MeasuredProcess[]): BenchTarget {
  const told = new Set(pids.map(({ pid }) => pid));
  return { ...target, processes: [...target.processes.filter(({ pid }) => !told.has(pid)), ...pids] };
}

/** Who listens on the target's ports on this machine. Where a tier has no port that is known, it is left out. */
async function listeningProcesses({ tcp, http, cometGrpc, grpc }: BenchTarget): Promise<MeasuredProcess[]> {
  const tiers = new Map<number, Set<string>>();
  const look = async (tier: string, address: string | undefined): Promise<void> => {
    const [, host = '', port = ''] = /^(?:tcp:\/\/)?(.*):(\d+)$/.exec(address ?? '') ?? [];
    if (!isLocal(host)) return;
    const holder = await findPortHolder(Number(port));
    if (holder) tiers.set(holder.pid, (tiers.get(holder.pid) ?? new Set()).add(tier));
  };
  for (const address of [tcp[0], cometGrpc[0]]) await look('comet', address);
  for (const address of [http[0], grpc[0]]) await look('logic', address);
  // Halley's job has a port for its metrics, as far from its usual place as the others are from theirs.
  await look('job', besides(http[0], PORTS.http, 3124));
  return [...tiers].map(([pid, names]) => ({ tier: [...names].join('+'), pid }));
}

/** The port that is as far from `usual` as the address's is from `from`. */
function besides(address: string | undefined, from: number, usual: number): string | undefined {
  const [, host, port] = /^(.*):(\d+)$/.exec(address ?? '') ?? [];
  return host === undefined ? undefined : `${host}:${usual + Number(port) - from}`;
}

function isLocal(host: string): boolean {
  return host === 'localhost' || host === '[::1]' || host.startsWith('127.');
}

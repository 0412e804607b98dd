import type { NodeId } from '@halley/protocol/ids';
import type { Service } from '@halley/service/lifecycle';

export type Tier = 'comet' | 'logic' | 'job';

/** What a node says of itself; the value of its entry in the registry (docs/registry.md). */
export interface NodeRecord {
  readonly tier: Tier;
  readonly id: NodeId;
  /** Changes with each start of the node. */
  readonly incarnation: string;
  /** `host:port` by protocol: grpc, tcp, ws, wss, tls, http, ops. What the node does not serve is absent. */
  readonly addresses: Readonly<Partial<Record<AddressKind, string>>>;
  readonly hostname: string;
  readonly region: string;
  readonly zone: string;
  readonly env: string;
  /** Share of connections that the balancer aims at; 0 takes none. Default 10. */
  readonly weight: number;
  /** Extra public addresses for clients (goim's ADDRS); the bind or advertised address when empty. */
  readonly publicAddresses: readonly string[];
  /** What was added to the configured ports; in `addresses` it is contained. */
  readonly portOffset: number;
  readonly load: NodeLoad;
  /** `draining`: takes nothing new, still serves what it has. */
  readonly state: 'serving' | 'draining';
  readonly version: string;
  readonly registeredAtMs: number;
}

export type AddressKind = 'grpc' | 'tcp' | 'ws' | 'wss' | 'tls' | 'http' | 'ops';

export interface NodeLoad {
  readonly connections: number;
  readonly ips: number;
}

/** One node of the tier joined, changed or left. */
export interface ViewChange {
  readonly joined: readonly NodeRecord[];
  readonly changed: readonly NodeRecord[];
  /** Left: deregistered, or its session ended. */
  readonly left: readonly NodeRecord[];
}

/**
 * The registered nodes of one tier, kept up to date. While the registry cannot be reached the last view holds.
 * A node that starts again with another incarnation is reported as left and joined.
 */
export interface TierView {
  /** Registered now (or when the registry was last reached), in no particular order. */
  nodes(): readonly NodeRecord[];
  /** Calls back after each change; answers a function that ends it. A listener that throws is logged and stays. */
  onChange(listener: (change: ViewChange) => void): () => void;
}

/** One node's own entry. */
export interface Registration {
  readonly record: NodeRecord;
  /** Replaces the given fields. Resolves when it is visible to others, or, while the registry is away, at once: it is then written on return. */
  update(fields: Partial<Pick<NodeRecord, 'load' | 'state' | 'weight'>>): Promise<void>;
  /** Removes the entry: the others see the node leave at once. Idempotent. */
  deregister(): Promise<void>;
}

/**
 * Which nodes there are. Entries are ephemeral: they go with the process that wrote them, within the session timeout.
 * Adapters register again by themselves after an expired session, with the same record.
 * `start` resolves once the registry was reached (or throws `registry_unavailable` after its timeout).
 */
export interface Registry extends Service {
  /** Adds this node. An entry of an earlier incarnation with the same id is replaced. */
  register(record: NodeRecord): Promise<Registration>;
  /** Watches a tier; the view is filled when this resolves. Views of the same tier are shared. */
  watch(tier: Tier): Promise<TierView>;
  /** Whether the registry is reached now, for readiness. */
  healthy(): boolean;
  /** Calls back when this process's entries were written again after a lost session. */
  onReregistered(listener: () => void): () => void;
  /** How long an entry outlives its killed process, in milliseconds. */
  readonly sessionTimeoutMs: number;
}

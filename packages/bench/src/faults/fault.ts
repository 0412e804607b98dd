import type { Link } from './network.js';

/** Something that goes wrong, and how it is put right again. */
export interface Fault {
  /** As `kill-comet comet-1`. */
  readonly name: string;
  /** The message ids that the cluster remembers are gone with it. */
  readonly forgetsIds?: boolean;
  inject(): Promise<void>;
  /** Resolves when what was broken serves again. Called once, after `inject`, also when that failed. */
  heal(): Promise<void>;
}

/** What the faults are done to. Slots keep their place and ports when the process in them is replaced. */
export interface FaultTargets {
  readonly nodes: readonly Slot[];
  readonly services: readonly ServiceSlot[];
  /** Where pushes are made durable: a Redis that is the bus has everything again after a restart. Default Kafka. */
  readonly bus?: 'kafka' | 'redis';
  /** Puts relays where they are asked for, for {@link FaultTargets.network}; absent where nodes cannot be started again. */
  openNetwork?(links: readonly Link[]): Promise<OpenNetwork>;
  readonly network?: OpenNetwork;
  /** Ends the connections of all clients at once. */
  dropClients(): void;
  /** Has one client reconnect over and over, until the answer is called. */
  churnClient(turn: number): () => void;
}

/** What is there of the cluster itself. */
export type ClusterTargets = Omit<FaultTargets, 'dropClients' | 'churnClient' | 'network'>;

/** Connections that can be cut. */
export interface OpenNetwork {
  /** One that can be cut off from it, each in turn. */
  pick(link: Link, turn: number): { readonly node: string; cut(): void; mend(): void } | undefined;
  /** Takes the relays away. */
  close(): Promise<void>;
}

/** A process of the cluster that can be broken. */
export interface Slot {
  /** As `comet-1`, `kafka`. */
  readonly name: string;
  /** What its process takes now; undefined while there is none, or where the system does not tell. */
  readonly memoryMb?: number | undefined;
  /** SIGKILL. Resolves when it is gone. */
  kill(): Promise<void>;
  /** Starts it again as it was started before, and waits until it serves. Does nothing while it runs. */
  start(): Promise<void>;
  /** SIGSTOP: connections stay, nothing answers. */
  pause(): void;
  /** SIGCONT. */
  resume(): void;
}

/** A service that the cluster stands on. */
export interface ServiceSlot extends Slot {
  /** `host:port` */
  readonly address: string;
}

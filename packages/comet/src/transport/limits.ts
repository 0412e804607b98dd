import { readFileSync } from 'node:fs';

/** Descriptors that are left for gRPC, the registry, logs and what else a process opens. */
const RESERVED_DESCRIPTORS = 256;

export interface ConnectionLimits {
  /** Connections of the node; 0 is as many as its descriptors allow. */
  readonly maxConnections: number;
  /** Connections of one client address; 0 is unlimited. */
  readonly maxConnectionsPerAddress: number;
}

/**
 * Counts connections, all and by client address, and sockets. A connection over TCP or WebSocket has one socket; one over HTTP
 * has as many as its requests need, which is none between two polls.
 */
export class ConnectionCounter {
  readonly maxConnections: number;
  readonly #maxSockets: number;
  #open = 0;
  #sockets = 0;
  #turnover = 0;
  readonly #byAddress = new Map<string, number>();

  constructor(private readonly limits: ConnectionLimits) {
    this.#maxSockets = socketsByDescriptors();
    this.maxConnections = limits.maxConnections === 0 ? this.#maxSockets : limits.maxConnections;
  }

  /** Connections that are open, authenticated or not. */
  get open(): number {
    return this.#open;
  }

  /** Distinct client addresses. */
  get addresses(): number {
    return this.#byAddress.size;
  }

  /** Sockets of clients. */
  get sockets(): number {
    return this.#sockets;
  }

  /** Sockets of clients that have come and gone so far, each counted both times. */
  get turnover(): number {
    return this.#turnover;
  }

  /** Counts a socket in; false when there are no descriptors left for it, and it is then not counted. */
  tryAccept(): boolean {
    if (this.#sockets >= this.#maxSockets) return false;
    this.#sockets += 1;
    this.#turnover += 1;
    return true;
  }

  socketClosed(): void {
    this.#sockets -= 1;
    this.#turnover += 1;
  }

  /** Counts a connection in; false when there are too many, and it is then not counted. */
  tryOpen(): boolean {
    if (this.#open >= this.maxConnections) return false;
    this.#open += 1;
    return true;
  }

  closed(): void {
    this.#open -= 1;
  }

  /** Counts a client in under its address; false when it has too many, and it is then not counted. */
  tryEnter(address: string): boolean {
    const count = this.#byAddress.get(address) ?? 0;
    const { maxConnectionsPerAddress: max } = this.limits;
    if (max > 0 && count >= max) return false;
    this.#byAddress.set(address, count + 1);
    return true;
  }

  leave(address: string): void {
    const count = this.#byAddress.get(address) ?? 0;
    if (count > 1) this.#byAddress.set(address, count - 1);
    else this.#byAddress.delete(address);
  }
}

/** As many as the process may have descriptors, less a reserve; unlimited where the system does not say. */
function socketsByDescriptors(): number {
  try {
    const soft = /^Max open files\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1];
    if (soft !== undefined) return Math.max(64, Number(soft) - RESERVED_DESCRIPTORS);
  } catch {
    // Not Linux.
  }
  return Number.POSITIVE_INFINITY;
}

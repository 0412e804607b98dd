import { Socket } from 'node:net';

import { Variants } from './variants.js';

const kTable = Symbol('table');
const kSlot = Symbol('slot');

/** A socket that says when its descriptor is not its own any more. */
interface TabledSocket extends Socket {
  [kTable]?: SocketTable | undefined;
  [kSlot]?: number;
  /** Node's; absent once the socket is closed. */
  readonly _handle?: { readonly fd?: number } | null;
}

const FIRST_SIZE = 64;

/**
 * The sockets of a node that may be written to beneath Node, by slot: what the send loop reads instead of objects. Only plain
 * sockets have one. A slot is its connection's until it is given back, which is once the connection is in no roster.
 */
export class SocketTable {
  /** By slot; -1 once the socket is being closed, as the number may be another client's from then on. */
  descriptors = new Int32Array(FIRST_SIZE).fill(-1);
  /** By slot: the number of the connection's variant while nothing waits to be written, else 0. */
  states = new Uint8Array(FIRST_SIZE);
  readonly variants = new Variants();
  readonly #free: number[] = [];
  #next = 0;

  /** A slot for this socket; -1 where it cannot be written to beneath Node. */
  take(socket: unknown): number {
    if (!(socket instanceof Socket) || 'encrypted' in socket || socket.destroyed) return -1;
    const tabled: TabledSocket = socket;
    const descriptor = tabled._handle?.fd ?? -1;
    if (descriptor < 0) return -1;
    const slot = this.#free.pop() ?? this.#grown();
    this.descriptors[slot] = descriptor;
    this.states[slot] = 0;
    tabled[kTable] = this;
    tabled[kSlot] = slot;
    tabled._destroy = destroyForgotten;
    return slot;
  }

  /** Whether the socket of this slot may be written to, and what it gets: the number of its variant, or 0. */
  tell(slot: number, variant: number): void {
    if ((this.descriptors[slot] as number) >= 0) this.states[slot] = variant;
  }

  /** Nothing is written to the socket of this slot any more. */
  forget(slot: number): void {
    this.states[slot] = 0;
    this.descriptors[slot] = -1;
  }

  /** The slot may be another connection's from now on, whatever becomes of this socket. */
  giveBack(slot: number, socket: unknown): void {
    if (socket instanceof Socket) (socket as TabledSocket)[kTable] = undefined;
    this.forget(slot);
    this.#free.push(slot);
  }

  #grown(): number {
    const slot = this.#next;
    this.#next += 1;
    if (slot < this.states.length) return slot;
    const { descriptors, states } = this;
    this.descriptors = new Int32Array(2 * descriptors.length).fill(-1);
    this.descriptors.set(descriptors);
    this.states = new Uint8Array(2 * states.length);
    this.states.set(states);
    return slot;
  }
}

/** A socket's `_destroy` closes its descriptor, which is another client's from then on. */
function destroyForgotten(
  this: TabledSocket,
  error: Error | null,
  callback: (error?: Error | null) => void,
): void {
  this[kTable]?.forget(this[kSlot] as number);
  Socket.prototype._destroy.call(this, error, callback);
}

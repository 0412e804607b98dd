import type { SendLoop } from './send-loop.js';
import type { SocketTable } from './socket-table.js';

export interface OutboxLimits {
  /** Bytes that may wait for one connection. An empty outbox takes any one message. */
  readonly maxBytes: number;
  /** Bytes that may wait for all connections of the node together. */
  readonly maxTotalBytes: number;
}

/**
 * What waits in the sockets of one node, in bytes. A socket tells of a drain only above its high-water mark, so the
 * outboxes that hold something are looked at again by `sweep`, and whenever the total stands at its limit.
 */
export class OutboxLedger {
  #totalBytes = 0;
  readonly #busy = new Set<Outbox>();
  #corked: Outbox[] = [];
  readonly #uncork = (): void => {
    const corked = this.#corked;
    this.#corked = [];
    this.sendLoop?.sendHeld(corked);
    for (const outbox of corked) outbox.uncork();
  };

  constructor(
    readonly limits: OutboxLimits,
    /** Default: by Node's sockets alone. */
    readonly sendLoop?: SendLoop,
  ) {}

  /** Bytes waiting, as last looked at. */
  get totalBytes(): number {
    return this.#totalBytes;
  }

  /** Connections for which something waits, as last looked at. */
  get busy(): number {
    return this.#busy.size;
  }

  /** Looks at every outbox that held something. */
  sweep(): void {
    for (const outbox of this.#busy) outbox.look();
  }

  /** Tells the owners of outboxes of which nothing has left for so long, while something waits. */
  tellFrozen(nowMs: number, timeoutMs: number): void {
    for (const outbox of this.#busy) outbox.tellFrozen(nowMs, timeoutMs);
  }

  /** Whether `bytes` more may wait. */
  admits(bytes: number): boolean {
    return this.room(bytes) >= bytes;
  }

  /** How much more may wait, in bytes; exact when it is less than `wanted`. */
  room(wanted: number): number {
    const { maxTotalBytes } = this.limits;
    if (this.#totalBytes + wanted > maxTotalBytes) this.sweep();
    return Math.max(0, maxTotalBytes - this.#totalBytes);
  }

  /** An outbox's own report of a change. */
  changed(outbox: Outbox, before: number, after: number): void {
    this.#totalBytes += after - before;
    if (after === 0) this.#busy.delete(outbox);
    else if (before === 0) this.#busy.add(outbox);
  }

  /** Uncorks an outbox at the end of this tick, with all others of the tick. */
  uncorkSoon(outbox: Outbox): void {
    if (this.#corked.length === 0) process.nextTick(this.#uncork);
    this.#corked.push(outbox);
  }
}

/** Who is told what becomes of an outbox. */
export interface OutboxOwner {
  /** It has emptied, after more had waited than the socket likes to hold. */
  onDrained(): void;
  /** Something waits, and nothing has left for as long as is allowed. */
  onFrozen(): void;
}

const kOutbox = Symbol('outbox');

/**
 * What an outbox writes to: a socket, or what stands for one where frames leave in HTTP responses. `drain` is emitted as by
 * a socket: when all has left, after more had waited than it likes to hold.
 */
export interface OutboxSocket {
  write(bytes: Uint8Array): unknown;
  /** Holds back what is written until `uncork`. */
  cork(): void;
  uncork(): void;
  /** Bytes that were written and have not left. */
  readonly writableLength: number;
  /** Takes nothing more. */
  readonly writableEnded: boolean;
  on(event: 'drain', listener: () => void): unknown;
}

/** A socket that knows its outbox, so that its listener is shared by all connections. */
interface OwnedSocket extends OutboxSocket {
  [kOutbox]?: Outbox;
}

/**
 * The way out to one connection: whole, encoded frames, written to its socket in the order of the calls. Nothing here
 * waits or allocates for a receiver; what the kernel does not take waits in the socket, within bounds.
 */
export class Outbox {
  #bufferedBytes = 0;
  #open = true;
  #corked = false;
  /** Its owner waits for a drain, of which only the socket tells. */
  #awaited = false;
  /** Bytes written so far, waiting or gone. */
  #written = 0;
  /** How much had left when that changed last, and when it was noticed. */
  #stillAt = -1;
  #stillSinceMs = 0;
  #variant = 0;
  /** Messages that leave at the end of this tick, by the send loop; the ledger does not count them. Nothing else waits then. */
  #held: Uint8Array[] | undefined;
  #heldBytes = 0;
  private readonly sockets: SocketTable | undefined;
  owner: OutboxOwner | undefined = undefined;
  /** Where the send loop finds its socket; -1 where it must not write to it. */
  readonly slot: number;

  constructor(
    private readonly socket: OwnedSocket,
    private readonly ledger: OutboxLedger,
  ) {
    this.sockets = ledger.sendLoop?.sockets;
    this.slot = this.sockets?.take(socket) ?? -1;
    this.look();
  }

  /** Which messages of the fan-out its connection gets from now on. */
  describe(format: number, accepts: ReadonlySet<number>): void {
    if (this.slot < 0 || !this.#open || !this.sockets) return;
    const { variants } = this.sockets;
    const former = this.#variant;
    this.#variant = variants.take(format, accepts);
    variants.giveBack(former);
    this.#tellLoop();
  }

  /** Bytes that waited when the outbox was last written to or looked at. */
  get bufferedBytes(): number {
    return this.#bufferedBytes + this.#heldBytes;
  }

  /** Writes bytes if they fit; answers whether they did. A closed outbox takes everything and writes nothing. */
  offer(bytes: Uint8Array): boolean {
    if (!this.#open) return true;
    if (this.bufferedBytes !== 0 && !this.#fits(bytes.length)) return false;
    this.#write(bytes);
    return true;
  }

  /** Writes what the send loop left of a message. */
  rest(bytes: Uint8Array): void {
    if (this.#open) this.#write(bytes);
  }

  /** Writes the last bytes, however much waits. */
  last(bytes: Uint8Array): void {
    if (this.#open) this.#write(bytes);
  }

  /** What the send loop is to write at the end of this tick, as one message; undefined where there is nothing for it. */
  takeHeld(): Uint8Array | undefined {
    // `ws` writes its answers to pings to the socket itself.
    if (this.#awaited || this.socket.writableLength > 0) this.spill();
    const held = this.#held;
    this.#held = undefined;
    this.#heldBytes = 0;
    if (!held || !this.#open || this.socket.writableEnded) return undefined;
    return held.length === 1 ? held[0] : Buffer.concat(held);
  }

  /** Writes what the send loop left of what was held. */
  restOfHeld(bytes: Uint8Array): void {
    this.socket.write(bytes);
  }

  /** Writes to the socket what is held: ahead of what others write to it. */
  spill(): void {
    const held = this.#held;
    this.#held = undefined;
    this.#heldBytes = 0;
    if (held && this.#open && !this.socket.writableEnded) {
      this.socket.cork();
      for (const bytes of held) this.socket.write(bytes);
    }
    this.look();
  }

  /** Bytes that may wait in it. */
  get maxBytes(): number {
    return this.ledger.limits.maxBytes;
  }

  /** Bytes offered so far. */
  get written(): number {
    return this.#written;
  }

  /** Bytes of `written` that are not in the socket any more, or fewer. */
  get left(): number {
    return Math.max(0, this.#written - this.bufferedBytes);
  }

  /** Whether so many bytes would be taken now. */
  admits(bytes: number): boolean {
    return !this.#open || this.bufferedBytes === 0 || this.#fits(bytes);
  }

  /** How much is taken now behind what waits, in bytes; an empty outbox takes one message above it. */
  room(): number {
    this.look();
    const { limits } = this.ledger;
    const own = Math.max(0, limits.maxBytes - this.bufferedBytes);
    return Math.min(own, this.ledger.room(own));
  }

  /** Its owner is told when it has drained. */
  tellDrained(): void {
    this.#awaited = true;
    if (this.socket[kOutbox]) return;
    this.socket[kOutbox] = this;
    this.socket.on('drain', onDrain);
  }

  /** The socket's call. */
  drained(): void {
    this.#awaited = false;
    this.look();
    this.owner?.onDrained();
  }

  /** For the ledger only. */
  tellFrozen(nowMs: number, timeoutMs: number): void {
    this.look();
    const { left } = this;
    if (this.#bufferedBytes === 0) {
      this.#stillAt = -1;
    } else if (left !== this.#stillAt) {
      this.#stillAt = left;
      this.#stillSinceMs = nowMs;
    } else if (nowMs - this.#stillSinceMs >= timeoutMs) {
      this.owner?.onFrozen();
    }
  }

  /** As offer, but what is offered in one tick leaves in one write. */
  offerJoined(bytes: Uint8Array): boolean {
    if (!this.#open) return true;
    if (this.bufferedBytes !== 0 && !this.#fits(bytes.length)) return false;
    if (!this.#corked) {
      this.#corked = true;
      this.#tellLoop();
      if (this.slot >= 0 && this.#bufferedBytes === 0) this.#held = [];
      else this.socket.cork();
      this.ledger.uncorkSoon(this);
    }
    this.#write(bytes);
    return true;
  }

  /** Looks at what waits now. */
  look(): void {
    const now = this.#open ? this.socket.writableLength : 0;
    if (now === this.#bufferedBytes) return;
    this.#buffered(now);
  }

  /** For the ledger only. */
  uncork(): void {
    this.#corked = false;
    this.socket.uncork();
    this.look();
    this.#tellLoop();
  }

  /** Writes nothing any more; what waits is no longer counted. Its connection is in no roster any more. Idempotent. */
  close(): void {
    if (!this.#open) return;
    this.#open = false;
    this.look();
    if (this.slot < 0 || !this.sockets) return;
    this.sockets.variants.giveBack(this.#variant);
    this.sockets.giveBack(this.slot, this.socket);
  }

  #buffered(now: number): void {
    this.ledger.changed(this, this.#bufferedBytes, now);
    this.#bufferedBytes = now;
    this.#tellLoop();
  }

  /** The send loop writes only to sockets for which nothing waits. */
  #tellLoop(): void {
    if (this.slot < 0 || !this.#open) return;
    this.sockets?.tell(this.slot, this.#bufferedBytes === 0 && !this.#corked ? this.#variant : 0);
  }

  #fits(bytes: number): boolean {
    this.look();
    const waiting = this.bufferedBytes;
    if (waiting === 0) return true;
    return waiting + bytes <= this.ledger.limits.maxBytes && this.ledger.admits(bytes);
  }

  #write(bytes: Uint8Array): void {
    // A WebSocket whose client said close is ended beneath us.
    if (this.socket.writableEnded) return;
    this.#written += bytes.length;
    if (this.#held) {
      this.#held.push(bytes);
      this.#heldBytes += bytes.length;
      return;
    }
    this.socket.write(bytes);
    const now = this.socket.writableLength;
    if (now !== this.#bufferedBytes) this.#buffered(now);
  }
}

function onDrain(this: OwnedSocket): void {
  this[kOutbox]?.drained();
}

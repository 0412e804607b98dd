import { encodePushes } from './encoded.js';
import type { Encoded } from './format.js';
import { isLate, type Outgoing, outgoingBytes } from './outgoing.js';
import type { Outbox } from './outbox.js';
import { Roster, type Rostered } from './roster.js';
import type { Messages, SendLoop } from './send-loop.js';

/** A connection as the fan-out sees it. */
export interface Receiver extends Rostered {
  /** How frames leave to it: bits of `Format`. */
  readonly format: number;
  readonly outbox: Outbox;
  readonly accepts: ReadonlySet<number>;
  /** The device's key; absent or empty where it is not known. */
  readonly deviceKey?: string;
}

/** What became of the frames of a step, each counted once for each receiver. */
export interface LaneTally {
  sent: number;
  dropped: number;
}

/** Pushes of one pass are joined up to this size, in bytes; a larger push goes alone. */
const MAX_JOINED_BYTES = 256 * 1024;

/** What version 2 calls the pushes for every connection. */
export const EVERYONE = 'all';

/** Pushes that did not go to some members, because there was no room for them. */
export interface LaneDrop {
  readonly pushes: readonly Outgoing[];
  /** Members. */
  count: number;
  /** Some of their keys. */
  readonly keys: string[];
}

/** What a step tells, and by when it goes. */
export interface StepHooks {
  /** At the end of a pass: what of it there was no room for. */
  readonly onDropped?: (drop: LaneDrop) => void;
  /** A push had expired before its pass began, and goes to nobody. */
  readonly onExpired?: (push: Outgoing) => void;
  /** Unix milliseconds. Default: nothing expires. */
  readonly nowMs?: number;
  /** Default: members are written to one by one. */
  readonly sendLoop?: SendLoop | undefined;
}

/** Members that a drop names. */
const KEYS_A_DROP = 32;

interface Pass extends Messages {
  /** What was encoded. */
  pushesOf(encoded: Encoded): readonly Outgoing[];
}

/**
 * Pushes for the same members, in order: a room, or every connection of the node. What came while the last pass was
 * under way leaves together in the next.
 */
export class Lane {
  readonly roster: Roster<Receiver>;
  #pending: Outgoing[] = [];
  #pendingBytes = 0;
  #pass: Pass | undefined;
  #passBytes = 0;
  /** What of the pass there was no room for. */
  readonly #dropped = new Map<Encoded, LaneDrop>();
  /** Sequence of the oldest push that is not written yet, of those the fan-out gave. */
  #sequences: number[] = [];
  #passSequence = 0;
  /** Whether the fan-out has it on its list. */
  scheduled = false;

  constructor(
    /** Members of a room get every push; of everyone, each gets the operations that it accepts. */
    readonly kind: 'room' | 'everyone',
    /** As version 2 names it: `r/…` or `all`. */
    readonly stream: string,
  ) {
    this.roster = new Roster(kind === 'room' ? 'roomSlot' : 'everyoneSlot');
  }

  /** Bytes of the pushes that wait or are being written. */
  get backlogBytes(): number {
    return this.#pendingBytes + this.#passBytes;
  }

  /** Whether anything is left to do. */
  get active(): boolean {
    return this.#pass !== undefined || this.#pending.length > 0;
  }

  /** Sequence of the oldest push that is not written to every member yet; Infinity when all is written. */
  get oldestSequence(): number {
    if (this.#pass) return this.#passSequence;
    return this.#sequences[0] ?? Number.POSITIVE_INFINITY;
  }

  add(push: Outgoing, sequence: number): void {
    this.#pending.push(push);
    this.#sequences.push(sequence);
    this.#pendingBytes += outgoingBytes(push);
  }

  /** Serves up to `limit` members and answers how many it did; adds to the tally. */
  step(limit: number, tally: LaneTally, hooks: StepHooks = {}): number {
    while (!this.#pass && this.#pending.length > 0) this.#begin(hooks);
    const pass = this.#pass;
    if (!pass) return 0;
    const oneByOne = (member: Receiver): void => {
      const encoded = pass.encodedFor(member.accepts);
      if (!encoded) return;
      const { format } = member;
      const bytes = encoded.bytes(format);
      if (bytes.length === 0) return;
      if (member.outbox.offer(bytes)) tally.sent += encoded.frames(format);
      else {
        tally.dropped += encoded.frames(format);
        this.#drop(pass, encoded, member);
      }
    };
    const served =
      hooks.sendLoop?.serve(this.roster, limit, pass, tally, oneByOne) ??
      this.roster.servePass(limit, oneByOne);
    if (this.roster.unserved === 0) {
      for (const drop of this.#dropped.values()) hooks.onDropped?.(drop);
      this.#dropped.clear();
      this.#pass = undefined;
      this.#passBytes = 0;
    }
    return served;
  }

  #drop(pass: Pass, encoded: Encoded, { deviceKey = '' }: Receiver): void {
    let drop = this.#dropped.get(encoded);
    if (!drop) this.#dropped.set(encoded, (drop = { pushes: pass.pushesOf(encoded), count: 0, keys: [] }));
    drop.count += 1;
    if (deviceKey !== '' && drop.keys.length < KEYS_A_DROP) drop.keys.push(deviceKey);
  }

  #begin({ nowMs = 0, onExpired }: StepHooks): void {
    let count = 0;
    let bytes = 0;
    for (const push of this.#pending) {
      const size = outgoingBytes(push);
      if (count > 0 && bytes + size > MAX_JOINED_BYTES) break;
      bytes += size;
      count += 1;
    }
    const taken = this.#pending.splice(0, count);
    this.#passSequence = this.#sequences[0] ?? 0;
    this.#sequences.splice(0, count);
    this.#pendingBytes -= bytes;
    const pushes = taken.filter((push) => {
      const late = isLate(push, nowMs);
      if (late) onExpired?.(push);
      return !late;
    });
    if (pushes.length === 0) return;
    this.#passBytes = bytes;
    this.#pass =
      this.kind === 'room' ? new PlainPass(pushes, this.stream) : new FilteredPass(pushes, this.stream);
    this.roster.beginPass();
  }
}

/** Everybody gets everything. */
class PlainPass implements Pass {
  readonly #encoded: Encoded;

  constructor(
    private readonly pushes: readonly Outgoing[],
    stream: string,
  ) {
    this.#encoded = encodePushes(pushes, stream);
  }

  pushesOf(_encoded: Encoded): readonly Outgoing[] {
    return this.pushes;
  }

  encodedFor(_accepts: ReadonlySet<number>): Encoded {
    return this.#encoded;
  }
}

/** Each gets what it accepts: encoded once for each selection that occurs. */
export class FilteredPass implements Pass {
  readonly #bySet = new Map<ReadonlySet<number>, Encoded | undefined>();
  readonly #bySelection = new Map<string, Encoded>();
  readonly #selected = new Map<Encoded, readonly Outgoing[]>();

  constructor(
    private readonly pushes: readonly Outgoing[],
    private readonly stream: string,
  ) {}

  encodedFor(accepts: ReadonlySet<number>): Encoded | undefined {
    const known = this.#bySet.get(accepts);
    if (known !== undefined || this.#bySet.has(accepts)) return known;
    const encoded = this.#encode(accepts);
    this.#bySet.set(accepts, encoded);
    return encoded;
  }

  pushesOf(encoded: Encoded): readonly Outgoing[] {
    return this.#selected.get(encoded) ?? [];
  }

  #encode(accepts: ReadonlySet<number>): Encoded | undefined {
    const selected = this.pushes.filter((push) => push.control || accepts.has(push.filterOp));
    if (selected.length === 0) return undefined;
    const selection = this.pushes
      .map((push) => (push.control || accepts.has(push.filterOp) ? '1' : '0'))
      .join('');
    let encoded = this.#bySelection.get(selection);
    if (!encoded) {
      encoded = encodePushes(selected, this.stream);
      this.#bySelection.set(selection, encoded);
      this.#selected.set(encoded, selected);
    }
    return encoded;
  }
}

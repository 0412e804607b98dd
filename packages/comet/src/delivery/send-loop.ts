import type { Encoded } from './format.js';
import type { LaneTally, Receiver } from './lane.js';
import type { Roster } from './roster.js';
import type { Outbox } from './outbox.js';
import type { NativeSends } from './send-all.js';
import { SocketTable } from './socket-table.js';
import { MAX_VARIANTS } from './variants.js';

/** Outboxes that are served with one call. */
const MAX_HELD = 1_024;

/** The pushes of a pass, encoded for who is to get them. */
export interface Messages {
  /** Undefined for a member that accepts none of them. */
  encodedFor(accepts: ReadonlySet<number>): Encoded | undefined;
}

/** Writes the messages of a pass to many members at once, beneath their sockets. */
export class SendLoop {
  readonly sockets = new SocketTable();
  readonly #counts = new Int32Array(MAX_VARIANTS);
  #left = new Int32Array(0);
  /** By the number of the variant less one: what was encoded for it, and its bytes. */
  #encoded: (Encoded | undefined)[] = [];
  #messages: (Uint8Array | undefined)[] = [];

  /** For those that hold messages of their own: who, where, and which. */
  readonly #holders: Outbox[] = [];
  readonly #slots = new Int32Array(MAX_HELD);
  readonly #which = new Int32Array(MAX_HELD);
  #held: Uint8Array[] = [];

  constructor(private readonly native: NativeSends) {}

  /** Writes what outboxes hold; what does not leave at once goes through their sockets. */
  sendHeld(outboxes: readonly Outbox[]): void {
    for (const outbox of outboxes) {
      const bytes = outbox.takeHeld();
      if (!bytes) continue;
      const at = this.#holders.length;
      // Those who are told the same come one after another.
      if (this.#held[this.#held.length - 1] !== bytes) this.#held.push(bytes);
      this.#holders.push(outbox);
      this.#slots[at] = outbox.slot;
      this.#which[at] = this.#held.length - 1;
      if (at + 1 === MAX_HELD || this.#held.length === MAX_VARIANTS) this.#sendHeldNow();
    }
    this.#sendHeldNow();
  }

  #sendHeldNow(): void {
    const count = this.#holders.length;
    if (count === 0) return;
    if (this.#left.length < 2 * count) this.#left = new Int32Array(4 * count);
    const { descriptors } = this.sockets;
    const unserved = this.native.sendEach(
      this.#slots,
      this.#which,
      count,
      descriptors,
      this.#held,
      this.#left,
    );
    for (let pair = 0; pair < unserved; pair += 1) {
      const at = this.#left[2 * pair] as number;
      const bytes = this.#held[this.#which[at] as number] as Uint8Array;
      (this.#holders[at] as Outbox).restOfHeld(bytes.subarray(this.#left[2 * pair + 1]));
    }
    this.#holders.length = 0;
    this.#held = [];
  }

  /**
   * Serves up to `limit` members of a roster's pass, and answers how many; adds to the tally. Those whose socket does not take
   * a message at once, and those that it must not write to, are served by `oneByOne`.
   */
  serve(
    roster: Roster<Receiver>,
    limit: number,
    messages: Messages,
    tally: LaneTally,
    oneByOne: (member: Receiver) => void,
  ): number {
    const { compact } = roster;
    if (!compact) return roster.servePass(limit, oneByOne);
    const taken = roster.take(limit);
    const from = roster.unserved;
    const to = from + taken;
    this.#encode(compact, from, to, messages);
    if (this.#left.length < 2 * taken) this.#left = new Int32Array(4 * taken);
    const { descriptors, states } = this.sockets;
    const unserved = this.native.sendAll(
      compact,
      from,
      to,
      descriptors,
      states,
      this.#messages,
      this.#counts,
      this.#left,
    );
    this.#tally(tally);
    if (unserved > 0) this.#serveLeft(roster, unserved, tally, oneByOne);
    return taken;
  }

  /** Encodes for the variants that are among these members, who are the same until the messages have been sent. */
  #encode(compact: Int32Array, from: number, to: number, messages: Messages): void {
    const { states, variants } = this.sockets;
    this.#encoded = [];
    this.#messages = [];
    let last = 0;
    for (let index = from; index < to; index += 1) {
      const number = states[compact[index] as number] ?? 0;
      if (number === last || number === 0) continue;
      last = number;
      if (this.#encoded[number - 1]) continue;
      const variant = variants.at(number);
      const encoded = variant && messages.encodedFor(variant.accepts);
      if (!encoded) continue;
      while (this.#messages.length < number) {
        this.#messages.push(undefined);
        this.#encoded.push(undefined);
      }
      const bytes = encoded.bytes(variant.format);
      this.#encoded[number - 1] = encoded;
      this.#messages[number - 1] = bytes.length > 0 ? bytes : undefined;
    }
  }

  #tally(tally: LaneTally): void {
    for (let place = 0; place < this.#encoded.length; place += 1) {
      const count = this.#counts[place] as number;
      if (count === 0) continue;
      this.#counts[place] = 0;
      const format = this.sockets.variants.at(place + 1)?.format ?? 0;
      tally.sent += count * (this.#encoded[place] as Encoded).frames(format);
    }
  }

  /** Serving one may remove others from the roster: who they are is looked up first. */
  #serveLeft(
    roster: Roster<Receiver>,
    unserved: number,
    tally: LaneTally,
    oneByOne: (member: Receiver) => void,
  ): void {
    const members: Receiver[] = [];
    for (let pair = 0; pair < unserved; pair += 1) {
      const member = roster.at(this.#left[2 * pair] as number) as Receiver;
      const sent = this.#left[2 * pair + 1] as number;
      if (sent === 0) {
        members.push(member);
        continue;
      }
      const place = (this.sockets.states[member.outbox.slot] as number) - 1;
      member.outbox.rest((this.#messages[place] as Uint8Array).subarray(sent));
      tally.sent += (this.#encoded[place] as Encoded).frames(member.format);
    }
    for (const member of members) if (roster.has(member)) oneByOne(member);
  }
}

/** Which field of a member holds its place in a roster: one for its room, one for the list of all connections. */
export type RosterSlot = 'roomSlot' | 'everyoneSlot';

/** A member of rosters; a slot is -1 where it is in none. */
export type Rostered = { [slot in RosterSlot]: number } & {
  /** Its `slot` is where the send loop finds its socket. */
  readonly outbox: { readonly slot: number };
};

/** With fewer members they are written to one by one. */
const COMPACT_FROM = 16;

/**
 * Members in one dense array, walked in passes that may be spread over many ticks while members come and go.
 *
 * During a pass the array has three regions: [0, unserved) still to be served, [unserved, joined) served, and from
 * `joined` on those who came after the pass began and take no part in it. A removal moves the last member of each region
 * down, so that nobody is served twice and nobody who stays is left out.
 */
export class Roster<Member extends Rostered> {
  readonly #members: Member[] = [];
  #unserved = 0;
  #joined = 0;
  #compact: Int32Array | undefined;

  constructor(private readonly slot: RosterSlot) {}

  get size(): number {
    return this.#members.length;
  }

  /** Members that the pass has still to serve. */
  get unserved(): number {
    return this.#unserved;
  }

  /** The member at `index`, in no particular order; undefined at and above `size`. */
  at(index: number): Member | undefined {
    return this.#members[index];
  }

  /** For the send loop: the slots of the members' sockets, by index; undefined in a small roster. */
  get compact(): Int32Array | undefined {
    return this.#compact;
  }

  /** All members now, copied. */
  snapshot(): Member[] {
    return this.#members.slice();
  }

  has(member: Member): boolean {
    return this.#members[member[this.slot]] === member;
  }

  /** Adds a member that is not in it. */
  add(member: Member): void {
    const index = this.#members.length;
    member[this.slot] = index;
    this.#members.push(member);
    if (!this.#compact && index + 1 < COMPACT_FROM) return;
    if (!this.#compact || index >= this.#compact.length) {
      const grown = new Int32Array(2 * (index + 1));
      for (let at = 0; at < index; at += 1) grown[at] = (this.#members[at] as Member).outbox.slot;
      this.#compact = grown;
    }
    this.#compact[index] = member.outbox.slot;
  }

  /** Removes a member; answers whether it was there. */
  remove(member: Member): boolean {
    if (!this.has(member)) return false;
    let hole = member[this.slot];
    if (hole < this.#unserved) {
      this.#unserved -= 1;
      hole = this.#fill(hole, this.#unserved);
    }
    if (hole < this.#joined) {
      this.#joined -= 1;
      hole = this.#fill(hole, this.#joined);
    }
    this.#fill(hole, this.#members.length - 1);
    this.#members.pop();
    if (this.#members.length < COMPACT_FROM / 2) this.#compact = undefined;
    member[this.slot] = -1;
    return true;
  }

  /** Starts a pass over who is a member now. */
  beginPass(): void {
    this.#unserved = this.#members.length;
    this.#joined = this.#unserved;
  }

  /**
   * Takes up to `limit` members of the pass, who count as served, and answers how many: those from `unserved` on.
   */
  take(limit: number): number {
    const taken = Math.min(limit, this.#unserved);
    this.#unserved -= taken;
    return taken;
  }

  /**
   * Serves up to `limit` members of the pass and answers how many it served. `serve` may remove members, its own too.
   */
  servePass(limit: number, serve: (member: Member) => void): number {
    let served = 0;
    while (served < limit && this.#unserved > 0) {
      this.#unserved -= 1;
      serve(this.#members[this.#unserved] as Member);
      served += 1;
    }
    return served;
  }

  /** Moves the member at `from` into the hole and answers the new hole. */
  #fill(hole: number, from: number): number {
    if (from !== hole) {
      const member = this.#members[from] as Member;
      this.#members[hole] = member;
      member[this.slot] = hole;
      if (this.#compact) this.#compact[hole] = member.outbox.slot;
    }
    return from;
  }
}

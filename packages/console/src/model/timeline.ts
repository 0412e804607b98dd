/** What became of an own message: `sending` until it is durable, then `sent`; `failed` when it never will be. */
export type Sending = 'sending' | 'sent' | 'failed';

/** A message as it is shown. */
export interface ChatMessage {
  /** The sender's id of it; empty of what the business pushed. */
  readonly clientId: string;
  /** Where it stands in its stream; undefined while it is sent. */
  readonly position: number | undefined;
  /** What read marks are compared with: the position in a room, the time of acceptance between two people. */
  readonly mark: number;
  readonly fromMid: string;
  readonly fromName: string;
  readonly mine: boolean;
  readonly text: string;
  readonly atMs: number;
  readonly sending: Sending;
  /** Why it failed. */
  readonly error?: string;
}

/** Where messages are missing that will not come. */
export interface Missing {
  readonly after: number;
  readonly through: number;
  readonly reason: string;
}

export type Entry = ChatMessage & { readonly position: number };

/**
 * The messages of one conversation: what is durable by position, whichever way it came (as it was sent, as a page of history),
 * each once; then the own ones that are on their way.
 */
export class Timeline {
  epoch = '';
  #entries: Entry[] = [];
  #outgoing: ChatMessage[] = [];
  #missing: Missing[] = [];

  /** Durable messages, oldest first. */
  get entries(): readonly Entry[] {
    return this.#entries;
  }

  /** Own messages that are not durable yet, in the order they were written. */
  get outgoing(): readonly ChatMessage[] {
    return this.#outgoing;
  }

  get missing(): readonly Missing[] {
    return this.#missing;
  }

  get newest(): Entry | undefined {
    return this.#entries.at(-1);
  }

  get oldest(): Entry | undefined {
    return this.#entries[0];
  }

  /** False when it was there. Positions of another epoch begin the timeline anew. */
  insert(epoch: string, message: Entry): boolean {
    this.beginEpoch(epoch);
    if (message.mine && message.clientId) this.settle(message.clientId);
    const { position } = message;
    const newest = this.#entries.at(-1);
    if (!newest || newest.position < position) {
      this.#entries.push(message);
      return true;
    }
    const at = this.#entries.findIndex((entry) => entry.position >= position);
    if (this.#entries[at]?.position === position) return false;
    this.#entries.splice(at, 0, message);
    return true;
  }

  beginEpoch(epoch: string): void {
    if (epoch === this.epoch) return;
    this.epoch = epoch;
    this.#entries = [];
    this.#missing = [];
  }

  lose(gap: Missing): void {
    if (!this.#missing.some(({ through }) => through === gap.through)) this.#missing.push(gap);
  }

  /** Shows an own message that is being sent, or changes what is shown of it. */
  send(message: ChatMessage): void {
    const at = this.#outgoing.findIndex(({ clientId }) => clientId === message.clientId);
    if (at < 0) this.#outgoing.push(message);
    else this.#outgoing[at] = message;
  }

  outgoingBy(clientId: string): ChatMessage | undefined {
    return this.#outgoing.find((message) => message.clientId === clientId);
  }

  /** It stands in the stream now, or is given up. */
  settle(clientId: string): void {
    this.#outgoing = this.#outgoing.filter((message) => message.clientId !== clientId);
  }
}

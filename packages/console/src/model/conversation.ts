import type { ChatMessage } from './timeline.js';
import { Timeline } from './timeline.js';

/** `none`: nothing was asked for yet. `more`: there are older ones. `end`: the first message is shown. */
export type Older = 'none' | 'more' | 'loading' | 'end';

/** How far an own message has come. */
export type Tick = 'sending' | 'failed' | 'sent' | 'delivered' | 'read';

const TYPING_MS = 5_000;

/** A room, or the messages of two people: what was said in it, who has read it, who is typing. */
export class Conversation {
  readonly timeline = new Timeline();
  older: Older = 'none';
  /** Up to which mark the user has read it; below every mark at first. */
  readUpTo = -1;
  /** A direct message has come to a device up to this mark. */
  deliveredUpTo = -1;
  /** What is written and not sent. */
  draft = '';
  /** Why it could not be joined. */
  refused: string | undefined;
  readonly #reads = new Map<string, number>();
  readonly #typing = new Map<string, number>();

  private constructor(
    /** The room's name, or the other user's id. */
    readonly target: string,
    readonly kind: 'room' | 'direct',
  ) {}

  static room(room: string): Conversation {
    return new Conversation(room, 'room');
  }

  static direct(mid: string): Conversation {
    return new Conversation(mid, 'direct');
  }

  /** Unique among conversations. */
  get key(): string {
    return `${this.kind}:${this.target}`;
  }

  /** What others said and is not read, among what is loaded; `more` when there may be older ones. */
  get unread(): { readonly count: number; readonly more: boolean } {
    const { entries } = this.timeline;
    const count = entries.filter(({ mine, mark }) => !mine && mark > this.readUpTo).length;
    const first = entries[0];
    return { count, more: count > 0 && this.older !== 'end' && (first?.mark ?? 0) > this.readUpTo };
  }

  /** Another one has read up to a mark; false when that was known. */
  readBy(mid: string, mark: number): boolean {
    if ((this.#reads.get(mid) ?? -1) >= mark) return false;
    this.#reads.set(mid, mark);
    return true;
  }

  /** How far others have read, by user. */
  get reads(): ReadonlyMap<string, number> {
    return this.#reads;
  }

  /** Who has read an own message. */
  readersOf({ mark, sending, fromMid }: ChatMessage): string[] {
    if (sending !== 'sent') return [];
    return [...this.#reads].flatMap(([mid, upTo]) => (upTo >= mark && mid !== fromMid ? [mid] : []));
  }

  tickOf(message: ChatMessage): Tick {
    if (message.sending !== 'sent') return message.sending;
    if (this.readersOf(message).length > 0) return 'read';
    return message.mark <= this.deliveredUpTo ? 'delivered' : 'sent';
  }

  /** Somebody types, or has stopped; answers until when it is to be shown. */
  typing(mid: string, nowMs: number, stopped = false): number {
    if (stopped) this.#typing.delete(mid);
    else this.#typing.set(mid, nowMs + TYPING_MS);
    return nowMs + TYPING_MS;
  }

  typists(nowMs: number): string[] {
    return [...this.#typing].flatMap(([mid, untilMs]) => (untilMs > nowMs ? [mid] : []));
  }
}

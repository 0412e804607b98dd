import type { Transport, TransportWish } from '../session/transports.js';
import { Conversation, type Older } from './conversation.js';
import { People } from './people.js';
import type { Shelf } from './shelf.js';

/** Who uses this window. */
export interface Profile {
  readonly name: string;
  readonly mid: string;
  /** This window as a device: its connection's key. */
  readonly device: string;
}

/** How the connection is, as the page shows it. */
export type Connection =
  | { readonly name: 'connecting'; readonly attempt: number }
  | { readonly name: 'connected'; readonly transport: Transport }
  | { readonly name: 'waiting'; readonly untilMs: number; readonly reason: string }
  | { readonly name: 'closed'; readonly code: string; readonly reason: string };

/** The rooms of who is new. */
const FIRST_ROOMS = ['chat://lobby', 'chat://random'];

/** Everything that the page shows. Views read it and are told of changes; the session changes it. */
export class Chat {
  readonly conversations = new Map<string, Conversation>();
  readonly people: People;
  connection: Connection = { name: 'connecting', attempt: 1 };
  wish: TransportWish = 'auto';
  /** On the way to another transport. */
  moving = false;
  /** The conversation that is open; undefined on a phone that shows the list. */
  active: Conversation | undefined;
  /** Whether the inbox was read to its beginning: it is read for all direct conversations together, also new ones. */
  olderDirects: Older = 'none';
  /** Something to tell once, as an error; empty is nothing. */
  notice = '';
  readonly #listeners = new Set<() => void>();
  #scheduled = false;

  constructor(
    readonly me: Profile,
    /** What this user's windows share. */
    readonly shelf: Shelf,
  ) {
    this.people = new People(shelf);
    this.people.meet(me.mid, me.name);
    for (const room of shelf.read<string[]>('rooms') ?? FIRST_ROOMS) this.room(room);
    for (const mid of this.people.mids) if (mid !== me.mid) this.direct(mid);
  }

  get rooms(): Conversation[] {
    return [...this.conversations.values()].filter(({ kind }) => kind === 'room');
  }

  get directs(): Conversation[] {
    return [...this.conversations.values()].filter(({ kind }) => kind === 'direct');
  }

  /** A room's conversation, made when it is new. */
  room(room: string): Conversation {
    const conversation = Conversation.room(room);
    const known = this.conversations.get(conversation.key);
    if (known) return known;
    this.conversations.set(conversation.key, conversation);
    this.#keepRooms();
    return conversation;
  }

  /** The conversation with a user, made when it is new. */
  direct(mid: string): Conversation {
    const conversation = Conversation.direct(mid);
    const known = this.conversations.get(conversation.key);
    if (known) return known;
    conversation.older = this.olderDirects;
    this.conversations.set(conversation.key, conversation);
    return conversation;
  }

  forget(conversation: Conversation): void {
    this.conversations.delete(conversation.key);
    if (this.active === conversation) this.active = this.rooms[0];
    this.#keepRooms();
  }

  /** Somebody said who they are: they can be written to. True when they were not known. */
  meet(mid: string, said: string | undefined): boolean {
    if (mid === this.me.mid || !this.people.meet(mid, said)) return false;
    this.direct(mid);
    return true;
  }

  nameOf(mid: string): string {
    return this.people.nameOf(mid);
  }

  /** Calls the listener behind every change, once for what changes together. */
  onChange(listener: () => void): void {
    this.#listeners.add(listener);
  }

  changed(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    queueMicrotask(() => {
      this.#scheduled = false;
      for (const listener of this.#listeners) listener();
    });
  }

  tell(notice: string): void {
    this.notice = notice;
    this.changed();
  }

  #keepRooms(): void {
    this.shelf.write(
      'rooms',
      this.rooms.map(({ target }) => target),
    );
  }
}

import {
  type RoomJoin,
  RoomsReply,
  RoomsRequest,
  Start,
  type ReadPosition,
  type RoomAnswer,
} from '@halley/protocol/client/bodies';
import type { WriteFields } from '@halley/protocol/client/message';
import { OperationV2 } from '@halley/protocol/operation';

import { ClientError, clientClosed, errorOf } from '../client-error.js';
import type { Clock } from '../clock.js';
import type { Link } from '../connection/link.js';
import { inParts } from '../connection/parts.js';
import type { Answer } from '../connection/requests.js';
import { deferred, type Deferred } from '../deferred.js';
import type { Emitter } from '../events.js';
import type { Cursors } from '../streams/cursors.js';
import { streamOfRoom } from '../streams/message.js';
import type { Streams } from '../streams/streams.js';

/** Where to begin in a room of which no cursor is kept. */
export type RoomStart = 'oldest' | 'newest';

/** A room that was joined. */
export interface JoinedRoom {
  readonly room: string;
  /** Its messages are kept, and resumed. */
  readonly durable: boolean;
  /** How far the user has read it; undefined when unknown. */
  readonly read: ReadPosition | undefined;
}

/** A room that the client is to be in. */
interface Room {
  readonly name: string;
  start: RoomStart | undefined;
  /** Who waits for the answer. */
  waiting: Deferred<JoinedRoom>[];
  /** The link on which it was joined. */
  joinedOn: Link | undefined;
}

const RETRY_MS = 1_000;

/** The rooms of a client: joined again, with their cursors, on each new link. */
export class Rooms {
  readonly #rooms = new Map<string, Room>();
  #link: Link | undefined;

  constructor(
    private readonly deps: {
      readonly clock: Clock;
      readonly events: Emitter;
      readonly streams: Streams;
      readonly cursors: Cursors;
    },
  ) {}

  join(name: string, start?: RoomStart): Promise<JoinedRoom> {
    const room = this.#rooms.get(name) ?? { name, start, waiting: [], joinedOn: undefined };
    room.start = start;
    this.#rooms.set(name, room);
    const waiting = deferred<JoinedRoom>();
    room.waiting.push(waiting);
    if (this.#link?.open) this.#ask(this.#link, [room]);
    return waiting.promise;
  }

  /** Nothing of it is shown any more, and its cursor is forgotten; done when the server knows. */
  leave(name: string): Promise<void> {
    const room = this.#rooms.get(name);
    this.#drop(name, new ClientError('left', `${name} was left.`, { room: name }));
    void this.deps.cursors.forget(streamOfRoom(name));
    const { promise, resolve } = deferred<void>();
    const link = this.#link;
    // On a link that ends, or on none, there is nothing to leave.
    if (!room || !link?.open) resolve();
    else link.ask(OperationV2.Rooms, RoomsRequest, { leave: [name] }, () => resolve());
    return promise;
  }

  opened(link: Link): void {
    this.#link = link;
    const given = link.auth?.room;
    if (given) this.#given(link, given);
    this.#ask(link, [...this.#rooms.values()]);
  }

  /** The token's room: its frames come already. With a cursor those count only that come behind the answer to joining. */
  #given(link: Link, name: string): void {
    const stream = streamOfRoom(name);
    const resumes = this.deps.cursors.get(stream) !== undefined;
    const room = this.#rooms.get(name) ?? { name, start: undefined, waiting: [], joinedOn: undefined };
    this.#rooms.set(name, room);
    if (resumes) return;
    room.joinedOn = link;
    this.deps.streams.follow(link, stream);
  }

  /** A new token does not grant them. */
  leftByToken(names: readonly string[]): void {
    for (const name of names) this.#refused(name, notGranted(name));
  }

  stop(): void {
    for (const { waiting } of this.#rooms.values()) for (const one of waiting) one.reject(clientClosed());
  }

  #ask(link: Link, rooms: readonly Room[]): void {
    const encode = (part: readonly Room[]): Uint8Array =>
      RoomsRequest.encode({ join: part.map((room) => this.#joinOf(link, room)) });
    for (const part of inParts(rooms, link.maxBodyBytes, encode)) {
      const join = part.map((room) => this.#joinOf(link, room));
      link.ask(OperationV2.Rooms, RoomsRequest, { join }, (answer) => this.#answered(link, part, answer));
    }
  }

  /** A room that the link is in goes on where it is; another one at its cursor. */
  #joinOf(link: Link, { name, start, joinedOn }: Room): WriteFields<typeof RoomJoin.fields> {
    const cursor = joinedOn === link ? undefined : this.deps.cursors.get(streamOfRoom(name));
    if (cursor) return { room: name, ...cursor };
    return { room: name, start: start === 'oldest' ? Start.Oldest : start === 'newest' ? Start.Newest : 0 };
  }

  #answered(link: Link, asked: readonly Room[], answer: Answer): void {
    if (answer instanceof ClientError) {
      if (answer.code === 'timed_out') link.end({ error: answer, reconnect: true });
      else if (link.open) for (const { name } of asked) this.#failed(link, name, answer);
      return;
    }
    for (const one of RoomsReply.decode(answer.body).answers) {
      if (one.error) this.#failed(link, one.room, errorOf(one.error, one.room));
      else this.#joined(link, one);
    }
  }

  #joined(link: Link, { room: name, durable, epoch, position, read }: RoomAnswer): void {
    const room = this.#rooms.get(name);
    if (!room) return;
    const stream = streamOfRoom(name);
    this.deps.streams.begin(stream, { epoch, position });
    this.deps.streams.follow(link, stream);
    room.joinedOn = link;
    for (const { resolve } of room.waiting.splice(0)) resolve({ room: name, durable, read });
    if (read) this.deps.events.tell('receipts', [read]);
  }

  /** What is temporary is asked for again: here later, or on the next link. */
  #failed(link: Link, name: string, error: ClientError): void {
    if (!error.temporary) return this.#refused(name, error);
    this.deps.clock.after(error.retryAfterMs || RETRY_MS, () => {
      const room = this.#rooms.get(name);
      if (room && link.open && link === this.#link) this.#ask(link, [room]);
    });
  }

  #refused(name: string, error: ClientError): void {
    const waited = this.#drop(name, error);
    if (!waited) this.deps.events.tell('error', error);
  }

  /** Whether somebody waited for it. */
  #drop(name: string, error: ClientError): boolean {
    const waiting = this.#rooms.get(name)?.waiting ?? [];
    this.#rooms.delete(name);
    this.deps.streams.unfollow(streamOfRoom(name));
    for (const { reject } of waiting) reject(error);
    return waiting.length > 0;
  }
}

function notGranted(room: string): ClientError {
  return new ClientError('room_not_granted', `The new token does not grant ${room}.`, { room });
}

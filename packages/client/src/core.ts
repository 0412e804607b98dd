import { Ephemeral, ErrorBody, Receipts, Start } from '@halley/protocol/client/bodies';
import type { AuthWishes } from '@halley/protocol/client/auth';
import type { Frame } from '@halley/protocol/frame';
import { OperationV2 } from '@halley/protocol/operation';

import { errorOf, versionUnsupported, type ClientError } from './client-error.js';
import type { Clock } from './clock.js';
import { Addresses } from './connection/addresses.js';
import { Calls } from './connection/calls.js';
import { Connector } from './connection/connector.js';
import { Ladder } from './connection/ladder.js';
import type { Link } from './connection/link.js';
import { TokenRefresh } from './connection/token-refresh.js';
import { Emitter } from './events.js';
import { settingsOf, type ClientOptions, type Settings } from './options.js';
import { Watched } from './presence/watched.js';
import { Rooms } from './rooms/rooms.js';
import { SendQueue } from './send/send-queue.js';
import { memoryStore } from './stores/memory.js';
import type { CursorStore } from './stores/store.js';
import { Cursors } from './streams/cursors.js';
import { Streams } from './streams/streams.js';
import type { OpenTransport, TransportName } from './transport/transport.js';

/** What the place brings that a client runs in. */
export interface Platform {
  readonly clock: Clock;
  readonly openTransport: OpenTransport;
  /** Called once, with the first connection that is not by the best transport: from there on it goes up again by itself. */
  readonly climb?: (core: Core) => void;
}

/** Where the store has what worked last, while that is not the best. */
const TRANSPORT_KEY = 'transport';

/** In version 1 pushes have the operations above goim's own. */
const LAST_GOIM_OPERATION = 17;

/** The parts of a client, and who is told what: links that open and end, and frames by their operation. */
export class Core {
  readonly events = new Emitter();
  readonly connector: Connector;
  readonly streams: Streams;
  readonly rooms: Rooms;
  readonly queue: SendQueue;
  readonly watched: Watched;
  readonly calls: Calls;
  readonly ladder: Ladder;
  readonly clock: Clock;
  readonly settings: Settings;
  readonly store: CursorStore;
  readonly #cursors: Cursors;
  readonly #tokens: TokenRefresh;
  #climb: Platform['climb'];
  /** What was told last. */
  #transport: TransportName | undefined;
  #loaded: Promise<void> | undefined;

  constructor(options: ClientOptions, { clock, openTransport, climb }: Platform) {
    const settings = settingsOf(options);
    const { events } = this;
    const failed = (error: ClientError): void => events.tell('error', error);
    this.clock = clock;
    this.settings = settings;
    this.#climb = climb;
    this.store = settings.store ?? memoryStore();
    this.#cursors = new Cursors(this.store, clock, failed);
    this.streams = new Streams({ ...settings, events, clock, cursors: this.#cursors });
    this.rooms = new Rooms({ clock, events, streams: this.streams, cursors: this.#cursors });
    this.queue = new SendQueue({
      clock,
      events,
      backoff: settings.backoff,
      maxMessages: settings.maxQueuedMessages,
      maxBytes: settings.maxQueuedBytes,
      store: settings.keepQueue ? this.store : undefined,
    });
    this.calls = new Calls(clock, settings.requestTimeoutMs);
    this.watched = new Watched({ calls: this.calls, events });
    this.#tokens = new TokenRefresh({
      clock,
      token: settings.token,
      beforeMs: settings.tokenRefreshBeforeMs,
      failed,
      leftRooms: (rooms) => this.rooms.leftByToken(rooms),
    });
    this.ladder = new Ladder(settings.transports, settings.fallbackAfter);
    this.connector = new Connector({
      link: { ...settings, clock, openTransport },
      backoff: settings.backoff,
      addresses: new Addresses(settings.addresses, settings.nodes, clock),
      ladder: this.ladder,
      token: settings.token,
      wishes: () => this.#wishes(),
      opened: (link) => this.#opened(link),
      closed: (link) => this.streams.closed(link),
      frame: (link, frame) => this.#frame(link, frame),
      state: (state) => {
        if (state.name === 'closed') this.#stopped(state.reason);
        else this.#carried();
        events.tell('state', state);
      },
    });
  }

  /** Reads the store, once. */
  load(): Promise<void> {
    this.#loaded ??= Promise.resolve(this.store.load()).then((values) => {
      this.#cursors.loaded(values);
      this.ladder.begin(values.get(TRANSPORT_KEY));
      if (this.settings.keepQueue) this.queue.loaded(values);
    });
    return this.#loaded;
  }

  stop(): void {
    this.streams.stop();
    this.connector.stop();
  }

  #stopped(reason: ClientError | undefined): void {
    this.streams.stop();
    this.#cursors.stop();
    this.#tokens.stop();
    this.queue.stop();
    this.rooms.stop();
    this.calls.stop();
    if (reason) this.events.tell('error', reason);
  }

  #carried(): void {
    const { link } = this.connector;
    if (!link?.open || link.transport === this.#transport) return;
    this.#transport = link.transport;
    this.events.tell('transport', link.transport);
    if (this.ladder.names.indexOf(link.transport) > 0) {
      this.#climb?.(this);
      this.#climb = undefined;
    }
  }

  #wishes(): AuthWishes {
    const { start, deflate, checksum } = this.settings;
    const { inbox } = this.streams;
    return {
      cursor: inbox,
      start: start === 'oldest' ? Start.Oldest : start === 'newest' ? Start.Newest : Start.Unspecified,
      deflate,
      checksum,
    };
  }

  #opened(link: Link): void {
    const { auth } = link;
    if (!auth) {
      this.events.tell('error', versionUnsupported());
    } else if (!this.streams.opened(link, auth)) {
      return;
    } else if (auth.read) {
      this.events.tell('receipts', [auth.read]);
    }
    this.#tokens.opened(link);
    this.rooms.opened(link);
    this.queue.opened(link);
    this.calls.opened(link);
    this.watched.opened(link);
  }

  #frame(link: Link, { op, body }: Frame): void {
    if (!link.version2) return this.#push(link, op, body);
    switch (op) {
      case OperationV2.Deliver:
        return this.streams.deliver(link, body);
      case OperationV2.Ephemeral:
        return this.events.tell('ephemeral', Ephemeral.decode(body));
      case OperationV2.Receipts:
        return this.events.tell('receipts', Receipts.decode(body).positions);
      case OperationV2.PresenceChanges:
        return this.watched.changed(body);
      case OperationV2.Error:
        return this.events.tell('error', errorOf(ErrorBody.decode(body)));
      default:
      // What else comes unasked is of a later version.
    }
  }

  /** A push of version 1 is a message that is not kept. */
  #push(link: Link, op: number, body: Uint8Array): void {
    if (op > LAST_GOIM_OPERATION) this.streams.pushed(link, op, body);
  }
}

import type { AuthWishes } from '@halley/protocol/client/auth';
import { Move } from '@halley/protocol/client/bodies';
import { CloseCode } from '@halley/protocol/close-code';
import type { Frame } from '@halley/protocol/frame';
import { OperationV2 } from '@halley/protocol/operation';

import { type ClientError, clientClosed, connectionLost, timedOut, wrapped } from '../client-error.js';
import { type Deferred, deferred } from '../deferred.js';
import { fits, type TransportName } from '../transport/transport.js';
import { addressOf, type Addresses } from './addresses.js';
import { fullJitterMs, type Backoff } from './backoff.js';
import type { LinkEnd } from './end.js';
import type { Ladder } from './ladder.js';
import { Link, type LinkSettings } from './link.js';
import type { ConnectionState } from './state.js';
import { readToken, withKey, type TokenSource } from './token.js';

/** A link that held for so long makes attempts count from the beginning again. */
const STABLE_MS = 10_000;
/** How long the link that a move leaves behind may go on answering. */
const OLD_LINK_MS = 5_000;
/** A trial that has cost the link in use, and still is not answered, may go on for so long. */
const LAST_CHANCE_MS = 3_000;

/** A node that stands still for longer than this gives its connections up by itself. */
const STRAY_MS = 120_000;
/** A node asks for an attempt again where it gets no answer, and each of its questions may be served late. */
const TAKEOVERS_OF_A_STRAY = 4;

/** An attempt by another transport, beside the link in use. */
interface Trial extends Deferred<void> {
  readonly name: TransportName;
}

export interface ConnectorDeps {
  readonly link: LinkSettings;
  readonly backoff: Backoff;
  readonly addresses: Addresses;
  readonly ladder: Ladder;
  readonly token: TokenSource;
  /** What the next hello asks for. */
  readonly wishes: () => AuthWishes;
  /** A new link is the one in use; another one may live on for a while. */
  readonly opened: (link: Link) => void;
  /** A link that was opened has ended. */
  readonly closed: (link: Link) => void;
  readonly frame: (link: Link, frame: Frame) => void;
  readonly state: (state: ConnectionState) => void;
}

/** Keeps one link open: connects, connects again, and moves to another node by connecting there first. */
export class Connector {
  readonly #deps: ConnectorDeps;
  #state: ConnectionState = { name: 'idle' };
  /** The link in use. */
  #current: Link | undefined;
  /** The link on the way. */
  #candidate: Link | undefined;
  /** The link that a move has left, and that may still answer. */
  #left: Link | undefined;
  /** Where a Move sends us. */
  #movingTo: readonly string[] | undefined;
  #trial: Trial | undefined;
  /** How often attempts that were given up may still take the link over, let in by a node that had stood still; until then. */
  #strays = 0;
  #strayUntilMs = -Infinity;
  #attempt = 0;
  #key = '';
  /** Counts what is begun, so that what was overtaken meanwhile is dropped. */
  #turn = 0;
  #cancelTimer: () => void = () => undefined;
  #cancelLeaving: () => void = () => undefined;

  constructor(deps: ConnectorDeps) {
    this.#deps = deps;
  }

  get state(): ConnectionState {
    return this.#state;
  }

  /** The link in use; undefined while there is none. */
  get link(): Link | undefined {
    return this.#current;
  }

  start(): void {
    if (this.#state.name !== 'idle') return;
    // A page that is loaded again while nothing goes may have asked before.
    this.#mayStray();
    void this.#connect();
  }

  /** Does not wait for the next attempt's time, or for a heartbeat's to see that the connection has gone. */
  retryNow(): void {
    this.#current?.beat();
    if (this.#state.name !== 'waiting') return;
    this.#attempt = 0;
    void this.#connect();
  }

  /**
   * Connects by this transport, and only then leaves the link in use. Rejects when that does not get through: the link in use
   * is as before, or followed by another one if it has ended meanwhile.
   */
  use(name: TransportName): Promise<void> {
    const trial: Trial = { name, ...deferred<void>() };
    if (this.#state.name === 'idle' || this.#current?.transport === name) trial.resolve();
    else if (this.#state.name === 'closed') trial.reject(clientClosed());
    else {
      this.#endTrial(connectionLost());
      this.#trial = trial;
      void this.#connect();
    }
    return trial.promise;
  }

  #endTrial(reason: ClientError): boolean {
    const trial = this.#trial;
    this.#trial = undefined;
    trial?.reject(reason);
    return trial !== undefined;
  }

  /** For good. */
  stop(reason?: ClientError): void {
    if (this.#state.name === 'closed') return;
    this.#turn += 1;
    this.#cancelTimer();
    this.#cancelLeaving();
    this.#set(reason ? { name: 'closed', reason } : { name: 'closed' });
    const end = { error: reason ?? clientClosed(), reconnect: false };
    this.#endTrial(end.error);
    for (const link of [this.#candidate, this.#current, this.#left]) link?.end(end);
  }

  async #connect(): Promise<void> {
    this.#cancelTimer();
    this.#turn += 1;
    const turn = this.#turn;
    if (!this.#current) this.#set({ name: 'connecting', attempt: this.#attempt + 1 });
    const { addresses, ladder, link, token: source, wishes } = this.#deps;
    // One that is on the way by another transport is of no use any more.
    const overtaken = this.#candidate;
    this.#candidate = undefined;
    if (overtaken?.reached) this.#mayStray();
    overtaken?.end({ error: connectionLost(), reconnect: true });
    // Whoever is asked for an address or a token may never answer.
    this.#cancelTimer = link.clock.after(link.handshakeTimeoutMs, () => this.#again(timedOut(), 0));
    try {
      const [node, ...others] = this.#movingTo ?? [];
      if (this.#movingTo) this.#movingTo = others;
      const trial = this.#trial?.name;
      const only = trial ?? ladder.pinned;
      const used = this.#current?.address ?? node;
      const address =
        used === undefined || (only && !fits(only, used)) || !(trial ?? node)
          ? await addresses.next(only)
          : node === undefined
            ? used
            : addressOf(node, used);
      const token = withKey(await readToken(source), this.#key);
      if (turn !== this.#turn) return;
      this.#cancelTimer();
      this.#candidate = new Link(
        link,
        address,
        trial ?? ladder.pick(address),
        { token, wishes: wishes() },
        {
          opened: (opened) => this.#opened(opened),
          frame: (from, frame) => this.#frame(from, frame),
          ended: (ended, end) => this.#ended(ended, end),
        },
      );
    } catch (thrown) {
      if (turn === this.#turn) this.#again(wrapped('connect_failed', thrown, true), 0);
    }
  }

  #opened(link: Link): void {
    const old = this.#current;
    const trial = this.#trial;
    this.#trial = undefined;
    this.#candidate = undefined;
    this.#current = link;
    this.#movingTo = undefined;
    this.#key = link.auth?.key ?? this.#key;
    const { address, transport } = link;
    const { clock } = this.#deps.link;
    this.#deps.ladder.opened(address, transport);
    this.#deps.opened(link);
    if (!link.open) return trial?.reject(connectionLost());
    this.#set({ name: 'connected', address, version: link.version2 ? 2 : 1, key: this.#key });
    trial?.resolve();
    this.#leave();
    this.#left = old;
    // Under the same key the server ends the old one by itself.
    if (old) this.#cancelLeaving = clock.after(OLD_LINK_MS, () => this.#leave());
  }

  #leave(): void {
    this.#cancelLeaving();
    this.#left?.end({ error: connectionLost(), reconnect: true });
  }

  #frame(link: Link, frame: Frame): void {
    if (frame.op === OperationV2.Move && link.version2) this.#move(link, Move.decode(frame.body));
    else this.#deps.frame(link, frame);
  }

  #move(link: Link, { nodes, delayMs }: Move): void {
    if (link !== this.#current || this.#movingTo) return;
    this.#movingTo = nodes;
    this.#deps.addresses.failed(link.address);
    this.#cancelTimer();
    this.#cancelTimer = this.#deps.link.clock.after(delayMs, () => void this.#connect());
  }

  #ended(link: Link, end: LinkEnd): void {
    const wasCurrent = link === this.#current;
    const wasCandidate = link === this.#candidate;
    if (wasCurrent) this.#current = undefined;
    if (wasCandidate) this.#candidate = undefined;
    if (!wasCandidate) this.#deps.closed(link);
    if (this.#state.name === 'closed' || (!wasCurrent && !wasCandidate)) return;
    const { addresses, ladder } = this.#deps;
    if (wasCurrent || !this.#trial) addresses.failed(link.address);
    // One that its node gave up is stray, too: who was asked for it may let it in later.
    if (wasCandidate && link.reached && end.error.closeCode !== CloseCode.TakenOver) this.#mayStray();
    // A close code has come all the way from the server.
    if (wasCandidate && !this.#trial && end.error.closeCode === undefined) {
      ladder.failed(link.transport, link.reached && end.error.code === 'handshake_timeout');
    }
    if (wasCurrent && this.#deps.link.clock.now() - link.openedAtMs >= STABLE_MS) this.#attempt = 0;
    // The link that we move to has taken over, or will connect anyway.
    const candidate = wasCurrent ? this.#candidate : undefined;
    if (candidate && (end.reconnect || end.error.closeCode === CloseCode.TakenOver)) {
      this.#set({ name: 'connecting', attempt: this.#attempt + 1 });
      if (this.#trial) this.#hurry(candidate);
    } else if (this.#mayHelp(end) || (!this.#current && this.#isStray(end))) {
      this.#again(end.error, end.afterMs ?? 0);
    } else if (!this.#current) {
      this.stop(end.error);
    } else {
      this.#endTrial(end.error);
    }
  }

  /** One is on its way to a server that has not let it in. */
  #mayStray(): void {
    const nowMs = this.#deps.link.clock.now();
    if (nowMs >= this.#strayUntilMs) this.#strays = 0;
    this.#strays += TAKEOVERS_OF_A_STRAY;
    this.#strayUntilMs = nowMs + STRAY_MS;
  }

  /** Whether it was an attempt of our own, which nobody waits for any more, that has taken over the link or the next attempt. */
  #isStray({ error }: LinkEnd): boolean {
    if (error.closeCode !== CloseCode.TakenOver || this.#strays === 0) return false;
    this.#strays -= 1;
    return this.#deps.link.clock.now() < this.#strayUntilMs;
  }

  /** An expired token that can't be renewed ends the same way again. */
  #mayHelp({ reconnect, error }: LinkEnd): boolean {
    return reconnect && !(error.closeCode === CloseCode.TokenExpired && typeof this.#deps.token === 'string');
  }

  /** The server has taken it, and the answer does not get through: back to what does. */
  #hurry(candidate: Link): void {
    this.#cancelTimer();
    this.#cancelTimer = this.#deps.link.clock.after(LAST_CHANCE_MS, () => {
      if (candidate === this.#candidate) candidate.end({ error: connectionLost(), reconnect: true });
    });
  }

  #again(reason: ClientError, afterMs: number): void {
    if (this.#endTrial(reason) && this.#current && !this.#movingTo) {
      this.#turn += 1;
      return this.#cancelTimer();
    }
    const { backoff, link } = this.#deps;
    const { clock } = link;
    const delayMs = afterMs + fullJitterMs(backoff, this.#attempt, clock.random());
    this.#attempt += 1;
    this.#turn += 1;
    this.#cancelTimer();
    this.#cancelTimer = clock.after(delayMs, () => void this.#connect());
    if (!this.#current) this.#set({ name: 'waiting', untilMs: clock.now() + delayMs, reason });
  }

  #set(state: ConnectionState): void {
    this.#state = state;
    this.#deps.state(state);
  }
}

import { HalleyError } from '@halley/protocol/error';
import type { ConnectionKey, NodeRef } from '@halley/protocol/ids';
import { CloseCode } from '@halley/protocol/close-code';
import type { Claimed, ClaimOutcome, Routes } from '@halley/store/routes/routes';
import { v4 as uuidv4 } from 'uuid';

import type { TokenVerifier, VerifiedToken } from '../auth/verifier.js';
import type { ClientEvents } from '../hooks/client-events.js';
import type { LogicMetrics } from '../metrics.js';
import type { Cursors, Device, StartWish, StreamStart } from '../streams/cursor.js';
import type { Kicker } from './kick.js';

export interface ConnectDeps {
  readonly verifier: TokenVerifier;
  readonly routes: Routes;
  readonly kicker: Kicker;
  readonly cursors: Pick<Cursors, 'openMany'>;
  readonly metrics: LogicMetrics;
  /** Told who came. Default: nobody. */
  readonly events?: Pick<ClientEvents, 'connected' | 'takenOver'>;
}

/** A connection that asks to be let in. */
export interface ConnectAttempt {
  readonly token: Uint8Array;
  /** The comet that holds it. */
  readonly at: NodeRef;
  /** Counts the connections of that comet's incarnation; 0 where that is not known. */
  readonly counter: number;
  /** The device is not to be known again by its key: it starts at the end of its stream. */
  readonly withoutCursor?: boolean;
  /** Where it wants to go on, with version 2. */
  readonly version2?: StartWish | undefined;
  /** tcp, websocket, sse or poll; empty where the caller does not say. */
  readonly transport?: string;
  /** Whether the caller has given up: it may have asked again elsewhere, and that route must not be taken over. */
  readonly abandoned?: () => boolean;
}

/** A connection that was let in: its route is written. */
export interface Connected {
  readonly token: VerifiedToken;
  readonly key: ConnectionKey;
  /** The owner sequence of the route. */
  readonly owner: string;
  /** Where it goes on in its user's stream; anonymous connections have none. */
  readonly start?: StreamStart;
}

/** The user of connections without one. */
const ANONYMOUS = '0';

/** A key whose connection of another user ends within this is given to who asks for it. */
const KEY_FREED_WITHIN_MS = 1_000;
const KEY_LOOK_MS = 50;

/** Logins that the stores serve in one call. */
const MAX_TOGETHER = 256;

/** A connection whose token is good. */
interface Login {
  readonly attempt: ConnectAttempt;
  readonly token: VerifiedToken;
  readonly key: ConnectionKey;
  /** How long its key was waited for. */
  waitedMs: number;
  readonly resolve: (connected: Connected) => void;
  readonly reject: (error: unknown) => void;
}

/** One whose route is written. */
interface Claimant {
  readonly login: Login;
  readonly owner: string;
}

/**
 * Lets connections in: verifies the token and writes the route, which takes over the key from an older connection. Those that
 * come in one turn of the loop share the calls of the stores; each has an outcome of its own.
 */
export class Connector {
  #waiting: Login[] = [];

  constructor(private readonly deps: ConnectDeps) {}

  /** Throws `bad_token`, `token_expired`, `key_in_use`, `keys_unavailable`, `store_unavailable` or `deadline_exceeded`. */
  connect(attempt: ConnectAttempt): Promise<Connected> {
    return new Promise((resolve, reject) => {
      this.deps.verifier.verify(attempt.token).then(
        (token) => {
          const key = (token.key || uuidv4()) as ConnectionKey;
          this.#join({ attempt, token, key, waitedMs: 0, resolve, reject });
        },
        (error: unknown) => this.#refuse(reject, error),
      );
    });
  }

  #join(login: Login): void {
    // A process that was stopped for a while finds the call and its end side by side: the end is to be seen as well.
    if (this.#waiting.length === 0) setImmediate(() => this.#admitWaiting());
    this.#waiting.push(login);
  }

  #admitWaiting(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (let from = 0; from < waiting.length; from += MAX_TOGETHER)
      void this.#admit(waiting.slice(from, from + MAX_TOGETHER));
  }

  /** Never rejects. */
  async #admit(logins: readonly Login[]): Promise<void> {
    const wanted: Login[] = [];
    for (const login of logins) {
      if (login.attempt.abandoned?.()) this.#refuse(login.reject, new HalleyError('deadline_exceeded'));
      else wanted.push(login);
    }
    try {
      const outcomes = await this.deps.routes.claimMany(
        wanted.map(({ token: { mid }, key, attempt: { at, counter } }) => ({ mid, key, at, counter })),
      );
      await this.#openStreams(this.#claimantsOf(wanted, outcomes));
    } catch (error) {
      for (const { reject } of wanted) this.#refuse(reject, error);
    }
  }

  /** Those whose route is written, what they displaced told to go; the others are refused, or wait for their key. */
  #claimantsOf(logins: readonly Login[], outcomes: readonly ClaimOutcome[]): Claimant[] {
    const claimants: Claimant[] = [];
    for (const [index, login] of logins.entries()) {
      const outcome = outcomes[index] ?? new HalleyError('internal');
      if (!(outcome instanceof HalleyError)) {
        this.#displace(login, outcome);
        claimants.push({ login, owner: outcome.owner });
      } else if (outcome.code === 'key_in_use' && login.waitedMs < KEY_FREED_WITHIN_MS) {
        // A client that logs in as somebody else may be ahead of the end of its own connection: that is waited for.
        login.waitedMs += KEY_LOOK_MS;
        setTimeout(() => this.#join(login), KEY_LOOK_MS);
      } else this.#refuse(login.reject, outcome);
    }
    return claimants;
  }

  #displace({ attempt: { at } }: Login, { displaced }: Claimed): void {
    if (!displaced) return;
    const { kicker, events } = this.deps;
    // On the same comet the newer session has taken over already.
    if (!(displaced.at.node === at.node && displaced.at.incarnation === at.incarnation)) {
      kicker.kickLater([displaced], CloseCode.TakenOver, 'taken over', 'taken_over');
    }
    events?.takenOver(displaced);
  }

  /** Where they go on; without an answer one is not let in, and its route goes. */
  async #openStreams(claimants: readonly Claimant[]): Promise<void> {
    const users: Claimant[] = [];
    const devices: Device[] = [];
    for (const claimant of claimants) {
      const { login, owner } = claimant;
      const { mid } = login.token;
      if (mid === ANONYMOUS) {
        this.#letIn(claimant);
        continue;
      }
      const { withoutCursor = false, version2 } = login.attempt;
      users.push(claimant);
      devices.push({
        mid,
        key: login.key,
        owner,
        keyGiven: login.token.key !== '' && !withoutCursor,
        version2,
      });
    }
    if (users.length === 0) return;
    const starts = await this.deps.cursors
      .openMany(devices)
      .catch((error: unknown) => devices.map(() => HalleyError.from(error)));
    const withdrawn: Device[] = [];
    for (const [index, device] of devices.entries()) {
      const start = starts[index];
      if (start && !(start instanceof HalleyError)) this.#letIn(users[index]!, start);
      else withdrawn.push(device);
    }
    if (withdrawn.length === 0) return;
    // One that cannot be removed either goes with its lease.
    await this.deps.routes.releaseMany(withdrawn).catch(() => undefined);
    for (const [index, { login }] of users.entries()) {
      const start = starts[index];
      if (!start || start instanceof HalleyError)
        this.#refuse(login.reject, start ?? new HalleyError('internal'));
    }
  }

  #letIn({ login, owner }: Claimant, start?: StreamStart): void {
    const { metrics, events } = this.deps;
    const { token, key, attempt } = login;
    metrics.connects.inc();
    events?.connected(
      { mid: token.mid, key, owner },
      {
        comet: attempt.at.node,
        transport: attempt.transport ?? '',
        platform: token.platform,
        version: attempt.version2 ? 2 : 1,
      },
    );
    login.resolve({ token, key, owner, ...(start && { start }) });
  }

  #refuse(reject: (error: unknown) => void, error: unknown): void {
    this.deps.metrics.authFailures.inc({ reason: HalleyError.from(error).code });
    reject(error);
  }
}

import { setImmediate as turn, setTimeout as sleep } from 'node:timers/promises';

import { HalleyError } from '@halley/protocol/error';
import type { ConnectionKey, NodeRef } from '@halley/protocol/ids';
import { CloseCode } from '@halley/protocol/close-code';
import type { Claim, Claimed, Routes } from '@halley/store/routes/routes';
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
  readonly cursors: Pick<Cursors, 'open'>;
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

/** Lets connections in: verifies the token and writes the route, which takes over the key from an older connection. */
export class Connector {
  constructor(private readonly deps: ConnectDeps) {}

  /** Throws `bad_token`, `token_expired`, `key_in_use`, `keys_unavailable`, `store_unavailable` or `deadline_exceeded`. */
  async connect({
    token,
    at,
    counter,
    withoutCursor = false,
    version2,
    transport = '',
    abandoned,
  }: ConnectAttempt): Promise<Connected> {
    const { verifier, kicker, metrics, events } = this.deps;
    try {
      const verified = await verifier.verify(token);
      // A process that was stopped for a while finds the call and its end side by side: the end is to be seen as well.
      await turn();
      if (abandoned?.()) throw new HalleyError('deadline_exceeded');
      const key = (verified.key || uuidv4()) as ConnectionKey;
      const { owner, displaced } = await this.#claim({ mid: verified.mid, key, at, counter }, abandoned);
      // On the same comet the newer session has taken over already.
      if (displaced && !(displaced.at.node === at.node && displaced.at.incarnation === at.incarnation)) {
        kicker.kickLater([displaced], CloseCode.TakenOver, 'taken over', 'taken_over');
      }
      if (displaced) events?.takenOver(displaced);
      const route = { mid: verified.mid, key, owner };
      const keyGiven = verified.key !== '' && !withoutCursor;
      const start =
        verified.mid === ANONYMOUS ? {} : { start: await this.#open({ ...route, keyGiven, version2 }) };
      metrics.connects.inc();
      const { platform } = verified;
      events?.connected(route, { comet: at.node, transport, platform, version: version2 ? 2 : 1 });
      return { token: verified, key, owner, ...start };
    } catch (error) {
      metrics.authFailures.inc({ reason: HalleyError.from(error).code });
      throw error;
    }
  }

  /** Where it goes on; without an answer it is not let in, and its route goes. */
  async #open(device: Device): Promise<StreamStart> {
    try {
      return await this.deps.cursors.open(device);
    } catch (error) {
      // One that cannot be removed either goes with its lease.
      await this.deps.routes.release(device).catch(() => undefined);
      throw error;
    }
  }

  /** A client that logs in as somebody else may be ahead of the end of its own connection: that is waited for. */
  async #claim(claim: Claim, abandoned: ConnectAttempt['abandoned']): Promise<Claimed> {
    for (let waitedMs = 0; ; waitedMs += KEY_LOOK_MS) {
      try {
        return await this.deps.routes.claim(claim);
      } catch (error) {
        if (HalleyError.from(error).code !== 'key_in_use' || waitedMs >= KEY_FREED_WITHIN_MS) throw error;
      }
      await sleep(KEY_LOOK_MS);
      if (abandoned?.()) throw new HalleyError('deadline_exceeded');
    }
  }
}

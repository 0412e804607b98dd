import { status } from '@grpc/grpc-js';
import { call } from '@halley/cluster/grpc/client';
import type { CometRef } from '@halley/cluster/grpc/gen/halley/delivery/v1/CometRef';
import type { DisconnectSessionRequest } from '@halley/cluster/grpc/gen/halley/delivery/v1/DisconnectSessionRequest';
import type { SessionServiceClient } from '@halley/cluster/grpc/gen/halley/delivery/v1/SessionService';
import { HalleyError } from '@halley/protocol/error';

import { JoinedCalls } from './joined-calls.js';

/** Goodbyes of one call. */
const MAX_SESSIONS = 256;

/** While a call is under way others are waited for so long, in milliseconds: nobody waits for a goodbye. */
const JOIN_MS = 10;

/** A goodbye that waits for its outcome. */
interface Waiting {
  readonly request: DisconnectSessionRequest;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Connections that end in one moment are told in one call of logic: the first goes with those of its turn of the loop, and while
 * a call is under way the next one waits a little for others. A call that fails fails for all of them; a repetition does no harm.
 */
export class DisconnectCalls {
  readonly #joined = new JoinedCalls<Waiting>(JOIN_MS, (waiting) => {
    this.#joined.began();
    void this.#tell(waiting).finally(() => this.#joined.ended());
  });

  constructor(
    private readonly client: SessionServiceClient,
    /** This comet, as it is registered. */
    private readonly self: () => CometRef,
  ) {}

  /** Rejects as a call of its own does; `alone` makes it one. */
  disconnect(request: DisconnectSessionRequest, alone = false): Promise<void> {
    return new Promise((resolve, reject) => {
      if (alone) return void this.#tellAlone({ request, resolve, reject });
      this.#joined.add({ request, resolve, reject });
      if (this.#joined.size === MAX_SESSIONS) this.#joined.flush();
    });
  }

  async #tell(waiting: readonly Waiting[]): Promise<void> {
    if (waiting.length === 1) return this.#tellAlone(waiting[0]!);
    const sessions = waiting.map(({ request }) => request);
    try {
      await call(this.client.DisconnectMany.bind(this.client), { comet: this.self(), sessions });
      for (const { resolve } of waiting) resolve();
    } catch (error) {
      // A logic of an older version; nothing was done.
      if (isUnimplemented(error)) await Promise.all(waiting.map((one) => this.#tellAlone(one)));
      else for (const { reject } of waiting) reject(error);
    }
  }

  async #tellAlone({ request, resolve, reject }: Waiting): Promise<void> {
    try {
      await call(this.client.Disconnect.bind(this.client), { comet: this.self(), ...request });
      resolve();
    } catch (error) {
      reject(error);
    }
  }
}

function isUnimplemented(error: unknown): boolean {
  const { cause } = HalleyError.from(error);
  return cause instanceof Error && 'code' in cause && cause.code === status.UNIMPLEMENTED;
}

import { PresenceChanges, PresenceRequest, type Presence } from '@halley/protocol/client/bodies';
import type { UserId } from '@halley/protocol/ids';
import { OperationV2 } from '@halley/protocol/operation';

import { ClientError } from '../client-error.js';
import type { Calls } from '../connection/calls.js';
import type { Link } from '../connection/link.js';
import { inParts } from '../connection/parts.js';
import type { Emitter } from '../events.js';

/** Small enough for the limit of a client's body, whatever the users. */
const MAX_BODY_BYTES = 4_000;

/** The users whose presence is watched: on each new link again. */
export class Watched {
  readonly #users = new Set<UserId>();

  constructor(private readonly deps: { readonly calls: Calls; readonly events: Emitter }) {}

  /** How they are now; changes come as events. Rejects, and watches none of them, when the server refuses. */
  async watch(users: readonly string[]): Promise<readonly Presence[]> {
    const mids = users as readonly UserId[];
    for (const mid of mids) this.#users.add(mid);
    const parts = inParts(mids, MAX_BODY_BYTES, (watch) => PresenceRequest.encode({ watch }));
    try {
      const replies = await Promise.all(parts.map((watch) => this.#ask({ watch })));
      return replies.flatMap((reply) => reply.users);
    } catch (error) {
      if (!(error as ClientError).temporary) for (const mid of mids) this.#users.delete(mid);
      throw error;
    }
  }

  async unwatch(users: readonly string[]): Promise<void> {
    const mids = users as readonly UserId[];
    for (const mid of mids) this.#users.delete(mid);
    const parts = inParts(mids, MAX_BODY_BYTES, (unwatch) => PresenceRequest.encode({ unwatch }));
    await Promise.all(parts.map((unwatch) => this.#ask({ unwatch })));
  }

  /** Who is watched, and how they are meanwhile. */
  opened(link: Link): void {
    const parts = inParts([...this.#users], MAX_BODY_BYTES, (watch) => PresenceRequest.encode({ watch }));
    for (const watch of parts) {
      link.ask(OperationV2.Presence, PresenceRequest, { watch }, (answer) => {
        if (!(answer instanceof ClientError)) this.changed(answer.body);
        else if (link.open) this.deps.events.tell('error', answer);
      });
    }
  }

  /** 34: how users are. */
  changed(body: Uint8Array): void {
    const { users } = PresenceChanges.decode(body);
    if (users.length > 0) this.deps.events.tell('presence', users);
  }

  #ask(
    request: { readonly watch: readonly UserId[] } | { readonly unwatch: readonly UserId[] },
  ): Promise<PresenceChanges> {
    return this.deps.calls.ask(OperationV2.Presence, PresenceRequest, request, PresenceChanges);
  }
}

import type { TierView } from '@halley/cluster/registry/registry';
import type { ConnectionKey, NodeId, NodeRef, UserId } from '@halley/protocol/ids';
import type { Route, Routes } from '@halley/store/routes/routes';

/** Where callers of goim.logic.Logic say a connection is: they know the server's name only. */
export interface GoimSessionDeps {
  readonly routes: Routes;
  readonly comets: TierView;
}

/** Sessions as goim.logic.Logic sees them: by server name, without owner sequences. */
export class GoimSessions {
  constructor(private readonly deps: GoimSessionDeps) {}

  /** The registered comet of this name (node id or host name); a name that is not registered stands for itself. */
  at(server: string): NodeRef {
    const nodes = this.deps.comets.nodes();
    const record = nodes.find(({ id }) => id === server) ?? nodes.find(({ hostname }) => hostname === server);
    return record
      ? { node: record.id, incarnation: record.incarnation }
      : { node: server as NodeId, incarnation: '-' };
  }

  /** Removes the route where it is on this server (empty: on any); answers whether it was. */
  async disconnect(mid: UserId, key: ConnectionKey, server: string): Promise<boolean> {
    const route = await this.#find(mid, key);
    if (!route || (server !== '' && route.at.node !== this.at(server).node)) return false;
    return this.deps.routes.release(route);
  }

  /** Extends the lease, or writes the route again when it is gone. */
  async heartbeat(mid: UserId, key: ConnectionKey, server: string): Promise<void> {
    const { routes } = this.deps;
    const route = await this.#find(mid, key);
    if (route) await routes.renew({ at: route.at, sessions: [route], rooms: [] });
    else await routes.claim({ mid, key, at: this.at(server), counter: 0 });
  }

  async #find(mid: UserId, key: ConnectionKey): Promise<Route | undefined> {
    const route = (await this.deps.routes.find({ keys: [key] })).keys.get(key);
    return route?.mid === mid ? route : undefined;
  }
}

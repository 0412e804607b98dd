import { setTimeout as sleep } from 'node:timers/promises';

import type { NodeRecord } from '@halley/cluster/registry/registry';
import type { NodeId, RoomId } from '@halley/protocol/ids';
import type { Clock } from '@halley/service/clock';
import type { Routes } from '@halley/store/routes/routes';

/** Figures are renewed every 10 s; they outlive two lost renewals. */
const FIGURES_TTL_MS = 30_000;
/** How old an answer may be. */
const MAX_AGE_MS = 1_000;
/** The store is summed up at most this often, also when comets renew faster. */
const MIN_INTERVAL_MS = 50;

export interface OnlineDeps {
  readonly routes: Routes;
  readonly clock: Clock;
}

/** A room and its members over the cluster. */
export interface RoomCount {
  readonly room_id: string;
  readonly count: number;
}

/**
 * Members of rooms over the cluster, summed over the figures that comets renew. An answer is at most a second old, and
 * holds all that was put through this object before it was asked for.
 */
export class Online {
  #totals: ReadonlyMap<RoomId, number> | undefined;
  #totalsVersion = -1;
  #loadedAtMs = 0;
  #running: { readonly version: number; readonly promise: Promise<ReadonlyMap<RoomId, number>> } | undefined;
  #next: Promise<ReadonlyMap<RoomId, number>> | undefined;
  /** Counts what was put. */
  #version = 0;

  constructor(private readonly deps: OnlineDeps) {}

  /** Replaces one comet's members by room. Throws `store_unavailable`. */
  async put(node: NodeId, counts: Readonly<Record<string, number>>): Promise<void> {
    const members = Object.entries(counts).filter(([, count]) => count > 0) as [RoomId, number][];
    await this.deps.routes.putOnline(node, new Map(members), FIGURES_TTL_MS);
    this.#version += 1;
  }

  /** Removes the figures of a comet that left. */
  async drop(node: NodeId): Promise<void> {
    await this.deps.routes.dropOnline(node);
    this.#version += 1;
  }

  /** Members by room; rooms without are absent. Throws `store_unavailable`. */
  totals(): Promise<ReadonlyMap<RoomId, number>> {
    const version = this.#version;
    const ageMs = this.deps.clock.monotonicMs() - this.#loadedAtMs;
    if (this.#totals && this.#totalsVersion === version && ageMs <= MAX_AGE_MS) {
      return Promise.resolve(this.#totals);
    }
    if (this.#running?.version === version) return this.#running.promise;
    this.#next ??= this.#loadNext();
    return this.#next;
  }

  /** goim's top: rooms whose id begins with `type`, the fullest first, named without their type. */
  async top(type: string, limit: number): Promise<RoomCount[]> {
    const rooms = [...(await this.totals())].filter(([room]) => room.startsWith(type));
    rooms.sort(([roomA, a], [roomB, b]) => b - a || (roomA < roomB ? -1 : 1));
    return rooms.slice(0, limit).map(([room, count]) => ({ room_id: withoutType(room), count }));
  }

  /** Members of rooms of one type, by the name without type, in the order of the names. */
  async rooms(type: string, names: readonly string[]): Promise<Map<string, number>> {
    const totals = await this.totals();
    const sorted = [...new Set(names)].toSorted();
    return new Map(sorted.map((name) => [name, totals.get(`${type}://${name}` as RoomId) ?? 0]));
  }

  async #loadNext(): Promise<ReadonlyMap<RoomId, number>> {
    const { routes, clock } = this.deps;
    await this.#running?.promise.catch(() => undefined);
    const waitMs = this.#totals ? this.#loadedAtMs + MIN_INTERVAL_MS - clock.monotonicMs() : 0;
    if (waitMs > 0) await sleep(waitMs);
    this.#next = undefined;
    const version = this.#version;
    const promise = routes.online().then((totals) => {
      this.#totals = totals;
      this.#totalsVersion = version;
      return totals;
    });
    this.#loadedAtMs = clock.monotonicMs();
    this.#running = { version, promise };
    try {
      return await promise;
    } finally {
      this.#running = undefined;
    }
  }
}

/** Connections and addresses over the cluster, as comets told the registry last. */
export function connectionTotals(comets: readonly NodeRecord[]): { conn_count: number; ip_count: number } {
  let connections = 0;
  let ips = 0;
  for (const { load } of comets) {
    connections += load.connections;
    ips += load.ips;
  }
  return { conn_count: connections, ip_count: ips };
}

function withoutType(room: string): string {
  const at = room.indexOf('://');
  return at < 0 ? room : room.slice(at + 3);
}

import type { NodeRef, RoomId, UserId } from '@halley/protocol/ids';
import type { Clock } from '@halley/service/clock';
import type { Logger } from '@halley/service/log';
import type { Route, RouteAnswer, Routes } from '@halley/store/routes/routes';
import type { Streams } from '@halley/store/streams/streams';

import { asksOf, type CometLooks, lookAt, type Looked, nameOf } from './comets.js';
import { type DeviceState, noCounts, type TracedDevice, type TracedEntry } from './trace.js';
import { userDevices } from './user-devices.js';

export interface DeviceFinderDeps {
  readonly routes: Pick<Routes, 'find'>;
  readonly streams: Pick<Streams, 'devices'>;
  readonly comets: CometLooks;
  /** The comets that are there, for what goes to everyone. */
  readonly everyComet: () => readonly NodeRef[];
  readonly acknowledgedTtlMs: number;
  readonly clock: Clock;
  readonly log: Logger;
}

/** The devices that follow the streams of a push. */
export interface FoundDevices {
  /** All of users' streams; of others, some. By stream and key. */
  readonly devices: readonly TracedDevice[];
  /** How many others there are, by stream and state, that are not among the devices. */
  readonly others: ReadonlyMap<string, Readonly<Record<DeviceState, number>>>;
  readonly notes: readonly string[];
}

/** Connections of a user that are told of one by one. */
const CONNECTIONS_A_USER = 100;
/** Members of a room that are. */
const CONNECTIONS_A_ROOM = 1_000;

const NOTHING: RouteAnswer = { users: new Map(), keys: new Map(), rooms: new Map() };

/**
 * Finds how far devices are with entries: users' devices by their routes and saved cursors, members of rooms by what comets
 * say. Comets are asked live; one that does not answer soon leaves its connections unknown.
 */
export class DeviceFinder {
  constructor(private readonly deps: DeviceFinderDeps) {}

  /** Throws `store_unavailable`. */
  async find(entries: readonly TracedEntry[]): Promise<FoundDevices> {
    const ofUsers = entries.filter(({ stream }) => stream.startsWith('u/'));
    const shared = entries.filter(({ stream }) => !stream.startsWith('u/'));
    const [users, rooms] = await Promise.all([this.#ofUsers(ofUsers), this.#ofRooms(shared)]);
    return {
      devices: [...users.devices, ...rooms.devices].sort(byStreamAndKey),
      others: rooms.others,
      notes: [...new Set([...users.notes, ...rooms.notes])],
    };
  }

  async #ofUsers(entries: readonly TracedEntry[]): Promise<FoundDevices> {
    if (entries.length === 0) return { devices: [], others: new Map(), notes: [] };
    const { routes, streams, acknowledgedTtlMs, clock } = this.deps;
    const mids = [...new Set(entries.map(midOf))];
    // Where connections are is asked before their comets are, and what was saved behind both: a connection that ends
    // meanwhile has saved how far it was.
    const found = await routes.find({ users: mids });
    const routesOf = (entry: TracedEntry): readonly Route[] => found.users.get(midOf(entry)) ?? [];
    const wanted = entries.flatMap((entry) => routesOf(entry).map(({ at }) => [at, entry] as const));
    const { looked, silent } = await lookAt(asksOf(wanted), CONNECTIONS_A_USER, this.deps);
    const cursors = await streams.devices(entries.map(({ stream }) => stream));
    const connections = new Map<TracedEntry, Map<string, Connection>>();
    for (const { at, entry, found: told } of looked) {
      let known = connections.get(entry);
      if (!known) connections.set(entry, (known = new Map()));
      for (const connection of told.connections) known.set(connection.key, { at, connection });
    }
    const silentNames = new Set(silent.map(nameOf));
    const devices = entries.flatMap((entry) =>
      userDevices(entry, {
        mid: midOf(entry),
        routes: routesOf(entry),
        cursors: cursors.get(entry.stream) ?? new Map(),
        connections: connections.get(entry) ?? new Map(),
        silent: silentNames,
        acknowledgedTtlMs,
        nowMs: clock.now(),
      }),
    );
    return { devices, others: new Map(), notes: silent.map(noteOf) };
  }

  async #ofRooms(entries: readonly TracedEntry[]): Promise<FoundDevices> {
    if (entries.length === 0) return { devices: [], others: new Map(), notes: [] };
    const rooms = entries.flatMap(({ stream }) => (stream.startsWith('r/') ? [roomOf(stream)] : []));
    const found = rooms.length > 0 ? await this.deps.routes.find({ rooms: [...new Set(rooms)] }) : NOTHING;
    const cometsOf = ({ stream }: TracedEntry): readonly NodeRef[] => {
      if (stream === 'all') return this.deps.everyComet();
      return stream.startsWith('r/') ? (found.rooms.get(roomOf(stream)) ?? []) : [];
    };
    const wanted = entries.flatMap((entry) => cometsOf(entry).map((at) => [at, entry] as const));
    const { looked, silent } = await lookAt(asksOf(wanted), CONNECTIONS_A_ROOM, this.deps);
    const others = new Map<string, Record<DeviceState, number>>();
    const devices = looked.flatMap((one) => {
      const told = membersOf(one);
      const counts = others.get(one.entry.stream) ?? noCounts();
      for (const [state, count] of Object.entries(one.found.counts)) counts[state as DeviceState] += count;
      for (const { state } of told) counts[state] -= 1;
      others.set(one.entry.stream, counts);
      return told;
    });
    const notes = silent.map(noteOf);
    for (const { stream } of entries)
      if (stream.startsWith('sha256/'))
        notes.push(`${stream} stands for a room with a long name: its members cannot be looked up.`);
    return { devices, others, notes };
  }
}

type Connection = {
  readonly at: NodeRef;
  readonly connection: Looked['found']['connections'][number];
};

function membersOf({ at, entry, found }: Looked): TracedDevice[] {
  return found.connections.map((connection) => ({
    stream: entry.stream,
    mid: connection.mid === '0' ? undefined : (connection.mid as UserId),
    key: connection.key,
    state: connection.state as DeviceState,
    connected: true,
    node: at.node,
    transport: connection.transport,
    version: connection.version,
    connectedAtMs: Number(connection.connected_at_ms),
    sentPosition: Number(connection.sent_position),
    acknowledgedPosition: Number(connection.acknowledged_position),
    by: connection.version === 2 ? 'ack' : 'heartbeat',
  }));
}

function noteOf({ node }: NodeRef): string {
  return `${node} did not answer: how far its connections are is not known.`;
}

function midOf({ stream }: TracedEntry): UserId {
  return stream.slice(2) as UserId;
}

function roomOf(stream: string): RoomId {
  return stream.slice(2) as RoomId;
}

function byStreamAndKey(one: TracedDevice, other: TracedDevice): number {
  if (one.stream !== other.stream) return one.stream < other.stream ? -1 : 1;
  return one.key < other.key ? -1 : one.key > other.key ? 1 : 0;
}

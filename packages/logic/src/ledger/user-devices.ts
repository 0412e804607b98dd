import type { InspectedConnection__Output } from '@halley/cluster/grpc/gen/halley/delivery/v1/InspectedConnection';
import type { ConnectionKey, NodeRef, UserId } from '@halley/protocol/ids';
import type { Route } from '@halley/store/routes/routes';
import type { DeviceCursor } from '@halley/store/streams/streams';

import { CURSOR_TTL_MS } from '../streams/cursor.js';
import { nameOf } from './comets.js';
import type { DeviceState, TracedDevice, TracedEntry } from './trace.js';

/** What is known of the devices of one user. */
export interface UserKnown {
  readonly mid: UserId;
  readonly routes: readonly Route[];
  readonly cursors: ReadonlyMap<ConnectionKey, DeviceCursor>;
  /** What comets said, by key. */
  readonly connections: ReadonlyMap<
    string,
    { readonly at: NodeRef; readonly connection: InspectedConnection__Output }
  >;
  /** Comets that did not answer, by `nameOf`. */
  readonly silent: ReadonlySet<string>;
  /** How long what a device acknowledged is kept. */
  readonly acknowledgedTtlMs: number;
  /** Unix milliseconds. */
  readonly nowMs: number;
}

/** How far the devices of a user are with an entry of the user's stream: those that are connected, and those that were. */
export function userDevices(entry: TracedEntry, known: UserKnown): TracedDevice[] {
  const { routes, cursors, connections } = known;
  const keys = new Set<string>([
    ...connections.keys(),
    ...routes.map(({ key }) => key),
    ...cursors.keys(),
    // Named, and perhaps never seen.
    ...entry.keys,
  ]);
  const routeOf = new Map<string, Route>(routes.map((route) => [route.key, route]));
  return [...keys].sort().map((key) => deviceOf(key, routeOf.get(key), entry, known));
}

function deviceOf(key: string, route: Route | undefined, entry: TracedEntry, known: UserKnown): TracedDevice {
  const { mid, silent } = known;
  const { stream } = entry;
  const saved = known.cursors.get(key as ConnectionKey);
  const found = known.connections.get(key);
  if (found) {
    const { at, connection } = found;
    const told = connection.state as DeviceState;
    return {
      stream,
      mid,
      key,
      // Where the connection began, the device may have been before.
      state: told === 'earlier' ? bySaved(entry, key, saved, 'earlier') : told,
      connected: true,
      node: at.node,
      transport: connection.transport,
      version: connection.version,
      connectedAtMs: Number(connection.connected_at_ms) || (route?.connectedAtMs ?? 0),
      sentPosition: Number(connection.sent_position),
      acknowledgedPosition: Number(connection.acknowledged_position),
      by: connection.version === 2 ? 'ack' : 'heartbeat',
    };
  }
  const { lastSeenMs, ...position } = saved ? savedOf(saved, known) : { lastSeenMs: undefined };
  if (!route) {
    const state = bySaved(entry, key, saved, 'waiting');
    const seen = lastSeenMs === undefined ? {} : { lastSeenMs };
    return { stream, mid, key, state, connected: false, ...position, ...seen };
  }
  const isSilent = silent.has(nameOf(route.at));
  const state = bySaved(entry, key, saved, isSilent ? 'unknown' : 'waiting');
  return {
    stream,
    mid,
    key,
    // What is not acknowledged may have been sent meanwhile.
    state: isSilent && state === 'waiting' ? 'unknown' : state,
    connected: true,
    node: route.at.node,
    connectedAtMs: route.connectedAtMs,
    ...position,
  };
}

/** What the saved cursor says; `without` where there is none. */
function bySaved(
  { epoch, position, keys }: TracedEntry,
  key: string,
  saved: DeviceCursor | undefined,
  without: DeviceState,
): DeviceState {
  if (keys.length > 0 && !keys.includes(key as ConnectionKey)) return 'other_devices';
  if (!saved) return without;
  if (saved.epoch !== epoch || position <= saved.begin) return 'earlier';
  return position <= saved.position ? 'acknowledged' : 'waiting';
}

/** When a cursor was saved follows from how long it is kept: as long as messages where the device acknowledges them. */
function savedOf({ position, untilMs }: DeviceCursor, { acknowledgedTtlMs, nowMs }: UserKnown) {
  const leftMs = untilMs - nowMs;
  const isAcknowledged = leftMs > CURSOR_TTL_MS;
  const ttlMs = isAcknowledged ? acknowledgedTtlMs : CURSOR_TTL_MS;
  return {
    acknowledgedPosition: position,
    by: isAcknowledged ? ('ack' as const) : ('heartbeat' as const),
    lastSeenMs: Math.round(untilMs - ttlMs),
  };
}

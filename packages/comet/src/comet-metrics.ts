import { DURATION_BUCKETS, type Metrics } from '@halley/service/metrics';

import { StreamMetrics } from './delivery/stream-metrics.js';
import { Version2Metrics } from './session/v2/version2-metrics.js';

/** Why frames were not sent to somebody who should have had them. */
export type DropReason =
  | 'backlog'
  | 'room_slow'
  | 'everyone_slow'
  | 'user_slow'
  | 'expired'
  | 'duplicate'
  | 'not_here'
  | 'fault';

/** Kinds of frames out. */
export type SentKind = 'reply' | 'user' | 'room' | 'everyone';

/** Kinds of frames in. */
export type ReceivedKind =
  | 'heartbeat'
  | 'auth'
  | 'change_room'
  | 'subscribe'
  | 'business'
  | 'early'
  | 'ack'
  | 'send'
  | 'rooms'
  | 'history'
  | 'receipts'
  | 'ephemeral'
  | 'presence'
  | 'token'
  | 'unknown';

/** What a comet counts. */
export class CometMetrics {
  readonly #sent;
  readonly #received;
  readonly #dropped;
  readonly #connections;
  readonly #accepted;
  readonly #refused;
  readonly #httpRequests;
  readonly #handshakes;
  readonly #closed;
  readonly #subscribesRefused;
  readonly #fanout;
  readonly #acks;
  readonly #logic;
  readonly #trims;
  readonly streams: StreamMetrics;
  readonly version2: Version2Metrics;

  constructor(private readonly metrics: Metrics) {
    this.streams = new StreamMetrics(metrics);
    this.version2 = new Version2Metrics(metrics);
    this.#sent = metrics.tally('halley_comet_messages_out_total', 'Frames sent, by kind.', 'kind');
    this.#received = metrics.counter('halley_comet_messages_in_total', 'Frames received, by kind.', ['kind']);
    this.#dropped = metrics.counter(
      'halley_comet_messages_dropped_total',
      'Frames that a connection was not sent, by reason; for duplicate, expired and not_here: deliveries.',
      ['reason'],
    );
    this.#connections = metrics.gauge('halley_comet_connections', 'Open connections.', ['transport']);
    this.#accepted = metrics.counter('halley_comet_connections_total', 'Connections accepted.', [
      'transport',
    ]);
    this.#refused = metrics.counter('halley_comet_connections_refused_total', 'Connections refused.', [
      'reason',
    ]);
    this.#httpRequests = metrics.counter(
      'halley_comet_http_requests_total',
      'Requests of sessions over HTTP (SSE, long poll and what they send) that were answered, by path and status.',
      ['path', 'status'],
    );
    this.#handshakes = metrics.counter('halley_comet_handshakes_total', 'Handshakes, by how they ended.', [
      'result',
    ]);
    this.#closed = metrics.counter('halley_comet_closes_total', 'Connections closed by us, by close code.', [
      'code',
    ]);
    this.#subscribesRefused = metrics.counter(
      'halley_comet_subscribes_refused_total',
      'Subscribe requests that were not applied: the connection would have accepted too many operations.',
    );
    this.#fanout = metrics.histogram(
      'halley_comet_fanout_seconds',
      'Time of one turn of the fan-out to rooms and everyone.',
      DURATION_BUCKETS,
    );
    this.#acks = metrics.counter('halley_comet_deliveries_total', 'Deliveries received from job.');
    this.#logic = metrics.histogram(
      'halley_comet_logic_seconds',
      'Time of calls to logic, by method.',
      DURATION_BUCKETS,
      ['method'],
    );
    this.#trims = metrics.counter(
      'halley_comet_memory_trims_total',
      'Times that memory was given back to the system when many connections had come or gone.',
    );
  }

  trimmed(): void {
    this.#trims.inc();
  }

  /** Levels that are asked for on each scrape. */
  observe(levels: {
    readonly authenticated: () => number;
    readonly addresses: () => number;
    readonly rooms: () => number;
    readonly bufferedBytes: () => number;
    readonly busyOutboxes: () => number;
    readonly backlogBytes: () => number;
    readonly catchingUp: () => number;
    readonly watched: () => number;
  }): void {
    const gauge = (name: string, help: string, read: () => number): void => {
      this.metrics.gauge(name, help, [], (level) => level.set(read()));
    };
    gauge('halley_comet_authenticated_connections', 'Authenticated connections.', levels.authenticated);
    gauge('halley_comet_client_addresses', 'Distinct client addresses.', levels.addresses);
    gauge('halley_comet_rooms', 'Rooms with members here.', levels.rooms);
    gauge('halley_comet_buffered_bytes', 'Bytes waiting in outboxes.', levels.bufferedBytes);
    gauge('halley_comet_busy_outboxes', 'Connections for which bytes wait.', levels.busyOutboxes);
    gauge('halley_comet_fanout_backlog_bytes', 'Bytes of pushes not fanned out yet.', levels.backlogBytes);
    gauge(
      'halley_comet_catching_up_connections',
      'Connections that read their stream because they are behind it.',
      levels.catchingUp,
    );
    gauge('halley_comet_watched_users', 'Users whose presence connections here watch.', levels.watched);
  }

  sent(kind: SentKind, frames: number): void {
    this.#sent.add(kind, frames);
  }

  received(kind: ReceivedKind): void {
    this.#received.inc({ kind });
  }

  dropped(reason: DropReason, frames: number): void {
    if (frames > 0) this.#dropped.inc({ reason }, frames);
  }

  opened(transport: string): void {
    this.#connections.inc({ transport });
    this.#accepted.inc({ transport });
  }

  ended(transport: string): void {
    this.#connections.dec({ transport });
  }

  refused(reason: string): void {
    this.#refused.inc({ reason });
  }

  httpAnswered(path: string, status: number): void {
    this.#httpRequests.inc({ path, status: String(status) });
  }

  handshake(result: string): void {
    this.#handshakes.inc({ result });
  }

  closed(code: number): void {
    this.#closed.inc({ code: String(code) });
  }

  subscribeRefused(): void {
    this.#subscribesRefused.inc();
  }

  fannedOut(roomFrames: number, everyoneFrames: number, seconds: number): void {
    this.sent('room', roomFrames);
    this.sent('everyone', everyoneFrames);
    this.#fanout.observe(seconds);
  }

  deliveries(count: number): void {
    this.#acks.inc(count);
  }

  logicCall(method: string, seconds: number): void {
    this.#logic.observe({ method }, seconds);
  }
}

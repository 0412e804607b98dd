import type { Socket } from 'node:net';

import type { AddressKind } from '@halley/cluster/registry/registry';
import { CloseCode } from '@halley/protocol/close-code';
import type { Clock } from '@halley/service/clock';
import { type Exceptions, NO_EXCEPTIONS } from '@halley/service/exceptions';
import { type Service, ServiceGroup } from '@halley/service/lifecycle';
import type { Logger } from '@halley/service/log';
import type { Metrics } from '@halley/service/metrics';

import { CometMetrics } from './comet-metrics.js';
import type { CometOptions } from './comet-options.js';
import { Deliverer } from './delivery/deliverer.js';
import { DEFAULT_FANOUT_LIMITS, Fanout } from './delivery/fanout.js';
import { Outbox, OutboxLedger } from './delivery/outbox.js';
import { RoomTable } from './delivery/room-table.js';
import { loadNativeSend } from './delivery/send-all.js';
import { SendLoop } from './delivery/send-loop.js';
import { StreamReader } from './delivery/stream-reader.js';
import type { LogicLink } from './logic-link.js';
import { Renewal } from './renewal.js';
import { PresenceWatch } from './presence-watch.js';
import { RoomDirectory } from './room-directory.js';
import { AcceptSets } from './session/accepts.js';
import { Deadlines } from './session/deadlines.js';
import { EarlyHints } from './session/early-hints.js';
import { EarlyKicks } from './session/early-kicks.js';
import { HintRoom } from './session/held-hints.js';
import { Leavers } from './session/leavers.js';
import { Releases } from './session/releases.js';
import { RoomEnds } from './session/room-ends.js';
import { RoomGrants } from './session/room-grants.js';
import { Session } from './session/session.js';
import type { SessionDeps } from './session/session-deps.js';
import { SessionTable } from './session/session-table.js';
import { SharedTexts } from './session/shared-texts.js';
import { moveAll } from './session/v2/move.js';
import { StreamIndex } from './session/stream-index.js';
import { Acceptor, type Client } from './transport/acceptor.js';
import { TrustedProxies } from './transport/client-address.js';
import { HttpSessions } from './transport/http/http-sessions.js';
import type { HttpTransport } from './transport/http/http-transport.js';
import type { Pages } from './transport/http/pages.js';
import { ConnectionCounter } from './transport/limits.js';
import { Listener } from './transport/listener.js';
import { tcpServer, TcpTransport } from './transport/tcp.js';
import { webSocketServer, WebSocketTransport } from './transport/websocket.js';

export interface CometDeps {
  readonly logic: LogicLink;
  readonly metrics: Metrics;
  /** What went wrong with pushes is told there; default nowhere. */
  readonly exceptions?: Exceptions;
  readonly clock: Clock;
  readonly log: Logger;
  /** Where clients of this kind of address can go when the node drains, best first. */
  readonly elsewhere?: (kind: AddressKind) => readonly string[];
  /** Served on the HTTP ports, beside the clients' connections. */
  readonly pages?: Pages;
}

const STOPPING = 'The node is stopping.';
/** How often outboxes that hold something are looked at. */
const SWEEP_MS = 250;

/** The connections of one comet and what is sent to them: everything but gRPC and the registry. */
export class Comet implements Service {
  readonly name = 'comet';
  readonly metrics: CometMetrics;
  readonly table = new SessionTable();
  readonly streams = new StreamIndex();
  readonly rooms = new RoomTable();
  readonly ledger: OutboxLedger;
  /** How the fan-out writes, in words for the log. */
  readonly sending: string;
  readonly counter: ConnectionCounter;
  readonly fanout: Fanout;
  readonly deliverer: Deliverer;
  readonly renewal: Renewal;
  readonly releases: Releases;
  readonly reader: StreamReader;
  readonly earlyKicks: EarlyKicks;
  readonly earlyHints: EarlyHints;
  readonly leavers = new Leavers();
  readonly directory: RoomDirectory;
  readonly presence: PresenceWatch;
  readonly #deadlines: Deadlines;
  readonly #sessionDeps: SessionDeps;
  readonly #acceptor: Acceptor;
  readonly #proxies: TrustedProxies;
  /** Every connection, authenticated or not, to be closed at the end. */
  readonly #sessions = new Set<Session>();
  readonly #http: HttpSessions;
  readonly #listeners: { readonly [Kind in keyof CometOptions['ports']]?: Listener };
  readonly #services: ServiceGroup;
  #sweeper: NodeJS.Timeout | undefined;
  #counter = 0;

  constructor(
    private readonly options: CometOptions,
    private readonly deps: CometDeps,
  ) {
    const { logic, clock, log, exceptions = NO_EXCEPTIONS } = deps;
    const metrics = new CometMetrics(deps.metrics);
    this.metrics = metrics;
    const native = loadNativeSend();
    const sendLoop = 'sendAll' in native ? new SendLoop(native) : undefined;
    this.sending = 'sendAll' in native ? 'native' : `by Node's sockets (${native.missing})`;
    this.ledger = new OutboxLedger(options.outbox, sendLoop);
    this.counter = new ConnectionCounter(options.limits);
    this.fanout = new Fanout(metrics, DEFAULT_FANOUT_LIMITS, exceptions, () => clock.now(), sendLoop);
    this.#deadlines = new Deadlines({ clock, log });
    this.releases = new Releases({ logic, log });
    this.reader = new StreamReader({
      logic,
      deadlines: this.#deadlines,
      metrics: metrics.streams,
      clock,
      log,
    });
    this.earlyKicks = new EarlyKicks({ clock, holdMs: options.session.handshakeTimeoutMs });
    this.earlyHints = new EarlyHints({ clock, holdMs: options.session.handshakeTimeoutMs });
    this.directory = new RoomDirectory({
      logic,
      deadlines: this.#deadlines,
      clock,
      log,
      leaveAfterMs: options.leaveRoomAfterMs,
    });
    this.presence = new PresenceWatch({ logic, log, pollMs: options.presence.pollMs });
    const { table, streams, reader, rooms, fanout, directory, releases, earlyHints, presence } = this;
    this.deliverer = new Deliverer({
      table,
      streams,
      earlyHints,
      rooms,
      fanout,
      metrics,
      exceptions,
      clock,
      log,
    });
    this.renewal = new Renewal(options.renewal, {
      logic,
      table,
      streams,
      rooms,
      directory,
      releases,
      clock,
      log,
      onLeaseLost: () => this.closeAll(CloseCode.LeaseLost, 'The node paused for too long.'),
    });
    this.#sessionDeps = {
      logic,
      table,
      streams,
      reader,
      rooms,
      directory,
      roomEnds: new RoomEnds({ logic }),
      deadlines: this.#deadlines,
      releases,
      earlyKicks: this.earlyKicks,
      earlyHints,
      hintRoom: new HintRoom(),
      leavers: this.leavers,
      accepts: new AcceptSets(),
      roomGrants: new RoomGrants(),
      sharedTexts: new SharedTexts(),
      metrics,
      exceptions,
      clock,
      log,
      limits: options.session,
      presence,
      maxBodyBytes: options.maxBodyBytes,
      nextCounter: () => {
        this.#counter += 1;
        return this.#counter;
      },
    };
    this.#proxies = new TrustedProxies(options.trustedProxies);
    this.#acceptor = new Acceptor({
      counter: this.counter,
      proxies: this.#proxies,
      deadlines: this.#deadlines,
      clock,
      metrics,
      handshakeTimeoutMs: options.session.handshakeTimeoutMs,
    });
    this.#http = this.#makeHttp();
    this.#listeners = this.#makeListeners();
    this.#services = new ServiceGroup(
      'comet',
      [this.#deadlines, ...Object.values(this.#listeners), this.renewal, presence],
      log,
    );
    metrics.observe({
      authenticated: () => table.size,
      addresses: () => this.counter.addresses,
      rooms: () => rooms.size,
      bufferedBytes: () => this.ledger.totalBytes,
      busyOutboxes: () => this.ledger.busy,
      backlogBytes: () => fanout.backlogBytes,
      catchingUp: () => reader.catchingUp,
      watched: () => presence.size,
    });
  }

  /** The ports that were bound; TLS ones only when they are served. */
  get boundPorts(): { tcp: number; ws: number; tls?: number; wss?: number } {
    const { tcp, ws, tls, wss } = this.#listeners;
    return {
      tcp: tcp?.boundPort ?? 0,
      ws: ws?.boundPort ?? 0,
      ...(tls ? { tls: tls.boundPort } : {}),
      ...(wss ? { wss: wss.boundPort } : {}),
    };
  }

  /** Connections that are online and their distinct addresses, both at one moment, as goim counts them. */
  get load(): { connections: number; ips: number } {
    return { connections: this.table.size, ips: this.table.addresses };
  }

  async start(): Promise<void> {
    await this.#services.start();
    this.#sweeper = setInterval(() => this.#sweep(), SWEEP_MS);
  }

  /** A job delivers from now on: what others told of streams before, on their last way, may not have come. */
  onJob(): void {
    this.earlyHints.addAny();
    this.renewal.renewAllSoon();
  }

  /**
   * Takes no new connections, and tells those there are to go elsewhere, spread evenly over a time: those with version 2 are
   * asked to, and served until then, the others are closed.
   */
  async drain(spreadMs: number): Promise<void> {
    const { tcp, tls } = this.#listeners;
    tcp?.close();
    tls?.close();
    // Sessions over HTTP need new sockets until they end; new sessions are refused.
    this.#http.draining = true;
    if (this.#http.size === 0) this.#closeListeners();
    const { clock, elsewhere } = this.deps;
    const startedMs = clock.monotonicMs();
    const moved = moveAll([...this.#sessions], spreadMs, elsewhere);
    this.metrics.version2.moved(moved.size);
    const sessions = [...this.#sessions].filter((session) => !moved.has(session));
    const stepMs = 50;
    for (let closed = 0; closed < sessions.length || [...moved].some(({ open }) => open);) {
      const passed = clock.monotonicMs() - startedMs + stepMs;
      const due = passed >= spreadMs ? sessions.length : Math.ceil((sessions.length * passed) / spreadMs);
      for (; closed < due; closed += 1) sessions[closed]?.close(CloseCode.Draining, STOPPING);
      if (passed >= spreadMs) break;
      await new Promise((resolve) => setTimeout(resolve, stepMs));
    }
    this.closeAll(CloseCode.Draining, STOPPING);
    this.#closeListeners();
  }

  /** Tells every connection to go, at once. */
  closeAll(code: CloseCode, reason: string): void {
    for (const session of this.#sessions) session.close(code, reason);
  }

  async stop(deadlineMs: number): Promise<void> {
    clearInterval(this.#sweeper);
    this.closeAll(CloseCode.Draining, STOPPING);
    this.reader.stop();
    this.deliverer.stop();
    this.fanout.stop();
    await this.#services.stop(deadlineMs);
  }

  #closeListeners(): void {
    for (const listener of Object.values(this.#listeners)) listener.close();
  }

  #sweep(): void {
    const { clock } = this.deps;
    this.ledger.tellFrozen(clock.monotonicMs(), this.options.session.frozenTimeoutMs);
    this.reader.sweep();
  }

  #makeListeners(): { [Kind in keyof CometOptions['ports']]?: Listener } {
    const { host, ports, tls, keepAliveMs, session } = this.options;
    const clientOf = (socket: Socket): Client | undefined => this.#acceptor.clientOf(socket);
    const tcp = {
      clientOf,
      onConnection: (socket: Socket, client: Client) => this.#onTcp(socket, client),
    };
    const websocket: Parameters<typeof webSocketServer>[1] = {
      clientOf,
      forwardedFor: (peer, header) => this.#proxies.forwardedFor(peer, header),
      onRefused: (reason) => this.metrics.refused(reason),
      onRequest: (request, response) => {
        this.#acceptor.served(request.socket);
        this.#http.handle(request, response);
      },
      admit: (socket) => {
        if (this.#http.draining) return 'draining';
        return this.#acceptor.tryOpen(socket) ? undefined : 'node_full';
      },
      onConnection: (ws, socket, { cookie }, client) => {
        const transport = new WebSocketTransport(
          ws,
          client.address,
          cookie,
          'encrypted' in socket,
          this.options.maxBodyBytes,
        );
        this.#open(transport, new Outbox(socket, this.ledger), client);
      },
    };
    const tcpOptions = { keepAliveMs, handshakeTimeoutMs: session.handshakeTimeoutMs };
    const webSocketOptions = {
      ...tcpOptions,
      closeTimeoutMs: session.closeTimeoutMs,
      maxMessageBytes: this.options.maxMessageBytes,
      maxMessageParts: this.options.maxMessageParts,
      allowsOrigin: this.options.allowsOrigin,
    };
    const listener = (kind: keyof CometOptions['ports'], server: ConstructorParameters<typeof Listener>[0]) =>
      new Listener(server, this.#acceptor, {
        use: `comet ${kind}`,
        host,
        port: ports[kind],
        isConnection: kind === 'tcp' || kind === 'tls',
        encrypted: kind === 'tls' || kind === 'wss',
      });
    return {
      tcp: listener('tcp', tcpServer(tcpOptions, tcp)),
      ws: listener('ws', webSocketServer(webSocketOptions, websocket)),
      ...(tls
        ? {
            tls: listener('tls', tcpServer(tcpOptions, tcp, tls)),
            wss: listener('wss', webSocketServer(webSocketOptions, websocket, tls)),
          }
        : {}),
    };
  }

  #makeHttp(): HttpSessions {
    const { http, session, maxBodyBytes, maxMessageBytes, allowsOrigin } = this.options;
    const { closeTimeoutMs } = session;
    return new HttpSessions(
      { ...http, closeTimeoutMs, maxBodyBytes, maxMessageBytes, allowsOrigin },
      {
        deadlines: this.#deadlines,
        clock: this.deps.clock,
        metrics: this.metrics,
        counter: this.counter,
        pages: this.deps.pages,
        clientOf: (socket) => this.#acceptor.clientOf(socket),
        forwardedFor: (peer, header) => this.#proxies.forwardedFor(peer, header),
        onConnection: (transport, client) =>
          this.#open(transport, new Outbox(transport.downstream, this.ledger), client),
      },
    );
  }

  #onTcp(socket: Socket, client: Client): void {
    const transport = new TcpTransport(socket, client.address, this.options.maxBodyBytes);
    this.#open(transport, new Outbox(socket, this.ledger), client);
  }

  #open(transport: TcpTransport | WebSocketTransport | HttpTransport, outbox: Outbox, client: Client): void {
    const session = new Session(transport, outbox, this.#sessionDeps, client.acceptedAtMs, this.#gone);
    this.#sessions.add(session);
    this.metrics.opened(transport.variant);
    const entered = this.counter.tryEnter(client.address);
    session.entered = entered;
    transport.attach(session);
    if (!entered) {
      this.metrics.refused('address_full');
      session.close(CloseCode.TooManyConnections, 'Too many connections of this address.');
    }
  }

  readonly #gone = (session: Session): void => {
    this.#sessions.delete(session);
    this.metrics.ended(session.variant);
    if (session.entered) this.counter.leave(session.transport.clientIp);
  };
}

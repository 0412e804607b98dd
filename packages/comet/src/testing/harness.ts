import { type AuthWishes, writeAuth } from '@halley/protocol/client/auth';
import { type Clock, systemClock } from '@halley/service/clock';
import { silentLogger } from '@halley/service/log';
import { Metrics } from '@halley/service/metrics';

import { Comet } from '../comet.js';
import type { CometOptions } from '../comet-options.js';
import type { Pages } from '../transport/http/pages.js';
import { FakeLogic } from './fake-logic.js';
import { HttpClient, type HttpClientOptions } from './http-client.js';
import { TcpClient, WsClient } from './test-client.js';
import { Version2Client } from './version2-client.js';

type Overrides = Partial<
  Omit<CometOptions, 'session'> & { session: Partial<CometOptions['session']>; pages: Pages; clock: Clock }
>;

/** A comet on free ports with a logic in the process. */
export class CometHarness {
  readonly #clients: (TcpClient | WsClient | HttpClient)[] = [];

  private constructor(
    readonly comet: Comet,
    readonly logic: FakeLogic,
    readonly metrics: Metrics,
  ) {}

  static async start({
    session,
    pages,
    clock = systemClock,
    ...overrides
  }: Overrides = {}): Promise<CometHarness> {
    const logic = new FakeLogic();
    const metrics = new Metrics({ process: false });
    const options: CometOptions = {
      host: '127.0.0.1',
      ports: { tcp: 0, ws: 0, tls: 0, wss: 0 },
      keepAliveMs: 60_000,
      maxBodyBytes: 4_096,
      maxMessageBytes: 65_536,
      maxMessageParts: 1_024,
      session: {
        handshakeTimeoutMs: 8_000,
        closeTimeoutMs: 2_000,
        maxEarlyBytes: 65_536,
        frozenTimeoutMs: 120_000,
        ver1Cursors: true,
        version2: true,
        windowEntries: 256,
        windowBytes: 524_288,
        ackTimeoutMs: 60_000,
        maxRooms: 100,
        maxWatched: 1_000,
        ephemeralsPerSecond: 10,
        ...session,
      },
      outbox: { maxBytes: 1_048_576, maxTotalBytes: 64 * 1_048_576 },
      limits: { maxConnections: 10_000, maxConnectionsPerAddress: 0 },
      trustedProxies: [],
      allowsOrigin: () => true,
      leaveRoomAfterMs: 30_000,
      presence: { pollMs: 2_000 },
      http: { keepAliveMs: 15_000, pollWaitMs: 25_000, pollGraceMs: 30_000 },
      renewal: { intervalMs: 1_000, roundMs: 8_000, figuresMs: 10_000 },
      ...overrides,
    };
    const comet = new Comet(options, {
      logic,
      metrics,
      clock,
      log: silentLogger(),
      ...(pages ? { pages } : {}),
    });
    await comet.start();
    return new CometHarness(comet, logic, metrics);
  }

  async tcp(): Promise<TcpClient> {
    return this.#keep(await TcpClient.connect(this.comet.boundPorts.tcp));
  }

  async ws(options: Parameters<typeof WsClient.connect>[1] = {}): Promise<WsClient> {
    return this.#keep(await WsClient.connect(this.comet.boundPorts.ws, options));
  }

  /** A client over HTTP that opens a session with this token. */
  http(
    kind: 'sse' | 'poll',
    token: object | string | Uint8Array,
    options: HttpClientOptions = {},
  ): HttpClient {
    const auth = token instanceof Uint8Array || typeof token === 'string' ? token : JSON.stringify(token);
    return this.#keep(new HttpClient(this.comet.boundPorts.ws, kind, Buffer.from(auth), options));
  }

  /** An authenticated client over TCP. */
  async tcpOf(token: object): Promise<TcpClient> {
    const client = await this.tcp();
    await client.auth(token);
    return client;
  }

  /** An authenticated client over WebSocket. */
  async wsOf(token: object): Promise<WsClient> {
    const client = await this.ws();
    await client.auth(token);
    return client;
  }

  /** An authenticated client with version 2. */
  async version2(
    token: object,
    wishes: AuthWishes = {},
    transport: 'tcp' | 'ws' | 'sse' | 'poll' = 'tcp',
  ): Promise<Version2Client> {
    if (transport === 'tcp' || transport === 'ws')
      return new Version2Client(await this[transport]()).open(token, wishes);
    const auth = writeAuth(JSON.stringify(token), wishes);
    return new Version2Client(this.http(transport, auth)).answered();
  }

  /** The value of a metric, summed over its labels that match. */
  async metric(name: string, labels: Record<string, string> = {}): Promise<number> {
    const metric = await this.metrics.registry.getSingleMetric(name)?.get();
    let sum = 0;
    for (const value of metric?.values ?? []) {
      const matches = Object.entries(labels).every(
        ([label, wanted]) => String((value.labels as Record<string, unknown>)[label]) === wanted,
      );
      if (matches) sum += value.value;
    }
    return sum;
  }

  async stop(): Promise<void> {
    for (const client of this.#clients) client.close();
    await this.comet.stop(500);
  }

  #keep<Client extends TcpClient | WsClient | HttpClient>(client: Client): Client {
    this.#clients.push(client);
    return client;
  }
}

/** Waits until something holds. */
export async function until(condition: () => boolean | Promise<boolean>, waitMs = 5_000): Promise<void> {
  const end = Date.now() + waitMs;
  while (!(await condition())) {
    if (Date.now() > end) throw new Error('waited in vain');
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

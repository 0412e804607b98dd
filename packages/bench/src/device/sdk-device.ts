import { Client } from '@halley/client/client';
import type { ConnectionState } from '@halley/client/connection/state';
import { systemClock } from '@halley/client/clock';
import { memoryStore } from '@halley/client/stores/memory';
import type { StreamMessage } from '@halley/client/streams/message';
import { fits, type Transport } from '@halley/client/transport/transport';

import { decodeBody } from '../check/body.js';
import type { ConnectionSpan, DeclaredGap, DeviceLog, Shown, Strange } from '../check/log.js';
import type { Random } from '../random.js';
import { Absences } from './absences.js';
import type { Device, DeviceSpec } from './device.js';
import { Mover, openSdkTransport, SDK_TRANSPORTS } from './sdk-transports.js';

export interface SdkDeviceDeps {
  readonly spec: DeviceSpec;
  readonly run: string;
  readonly operation: number;
  /** Comets of its transport, as `tcp://127.0.0.1:3101`; of all kinds when it moves. */
  readonly comets: readonly string[];
  readonly random: Random;
  readonly nowMs: () => number;
}

/** A comet that is paused is left soon. */
const TIMES = { heartbeatMs: 3_000, heartbeatTimeoutMs: 3_000, handshakeTimeoutMs: 5_000 };
const RECONNECT = { baseMs: 100, maxMs: 2_000 };
const STRANGE_CHARACTERS = 80;

/**
 * A client of the SDK (ver 2): it is shown each message once. Who leaves closes it, and comes back with another one on the same
 * store, as a restarted application does. While it is frozen its handler does not come to an end. One that moves is on another
 * transport every few seconds.
 */
export class SdkDevice implements Device {
  readonly #connections: ConnectionSpan[] = [];
  readonly #shown: Shown[] = [];
  readonly #strange: Strange[] = [];
  readonly #gaps: DeclaredGap[] = [];
  readonly #absences = new Absences();
  readonly #store = memoryStore();
  readonly #mover: Mover;
  #client: Client | undefined;
  /** The last one that was begun with, and the one in use. */
  #opened: Transport | undefined;
  #transport: Transport | undefined;
  #isConnected = false;
  #isAway = false;
  #thawed: Promise<void> | undefined;
  #thaw: () => void = () => undefined;

  constructor(private readonly deps: SdkDeviceDeps) {
    const { comets, random } = deps;
    const transports = SDK_TRANSPORTS.filter((name) => comets.some((address) => fits(name, address)));
    this.#mover = new Mover(transports, random, async (to) => this.#client?.useTransport(to));
  }

  get log(): DeviceLog {
    const { name, habit, streams } = this.deps.spec;
    return {
      name,
      kind: 'sdk',
      habit,
      streams,
      connections: this.#connections,
      shown: this.#shown,
      strange: this.#strange,
      gaps: this.#gaps,
      absences: this.#absences.spans,
    };
  }

  get isConnected(): boolean {
    return this.#isConnected;
  }

  get status(): string {
    const state = this.#client?.state ?? { name: 'none' };
    return 'reason' in state && state.reason
      ? `${state.name}: ${state.reason.code}, ${state.reason.message}`
      : state.name;
  }

  start(): void {
    const { spec, comets, random, nowMs } = this.deps;
    const only = spec.transport === 'tcp' || spec.moves ? {} : { transports: [spec.transport] };
    const client = new Client(
      { addresses: comets, token: this.#token(), store: this.#store, backoff: RECONNECT, ...only, ...TIMES },
      {
        clock: { ...systemClock, random: () => random.below(1_000_000) / 1_000_000 },
        openTransport: (...wanted) => (this.#opened = openSdkTransport(...wanted)),
      },
    );
    this.#client = client;
    if (spec.moves) {
      client.useTransport(spec.transport).catch((error: unknown) => this.#wonder(client, error));
      this.#mover.start();
    }
    client.on('message', (message) => this.#show(message));
    client.on('state', (state) => {
      if (client === this.#client) this.#changed(state);
    });
    client.on('gap', ({ stream }) => {
      this.#gaps.push({ atMs: nowMs(), stream: this.#nameOf(stream) });
    });
    if (spec.room !== '') client.join(spec.room).catch((error: unknown) => this.#wonder(client, error));
    client.connect().catch((error: unknown) => this.#wonder(client, error));
  }

  drop(): void {
    if (this.#isConnected) this.#transport?.close();
  }

  leave(): void {
    if (this.#isAway) return;
    this.#isAway = true;
    this.#absences.begin(this.deps.nowMs(), 'left');
    this.#end('left');
  }

  comeBack(): void {
    if (!this.#isAway) return;
    this.#isAway = false;
    this.#absences.end(this.deps.nowMs());
    this.start();
  }

  freeze(): void {
    if (this.#thawed) return;
    this.#absences.begin(this.deps.nowMs(), 'frozen');
    this.#thawed = new Promise((resolve) => (this.#thaw = resolve));
  }

  thaw(): void {
    if (!this.#thawed) return;
    this.#absences.end(this.deps.nowMs());
    this.#thawed = undefined;
    this.#thaw();
  }

  stop(): void {
    this.#end('the check is over');
    this.thaw();
  }

  #end(why: string): void {
    const client = this.#client;
    this.#mover.stop();
    this.#client = undefined;
    this.#left(why);
    client?.close();
  }

  #changed(state: ConnectionState): void {
    if (state.name === 'connected') {
      this.#left('moved');
      this.#isConnected = true;
      this.#transport = this.#opened;
      const by = this.#client?.transport ?? this.deps.spec.transport;
      this.#connections.push({ openedAtMs: this.deps.nowMs(), to: state.address, by });
    } else {
      this.#left('reason' in state ? String(state.reason) : state.name);
    }
  }

  #left(why: string): void {
    const last = this.#connections.at(-1);
    if (this.#isConnected && last)
      this.#connections[this.#connections.length - 1] = { ...last, closedAtMs: this.deps.nowMs(), why };
    this.#isConnected = false;
  }

  async #show({ operation, body }: StreamMessage): Promise<void> {
    const connection = this.#connections.length - 1;
    const { run, operation: own, nowMs } = this.deps;
    while (this.#thawed) await this.#thawed;
    const text = Buffer.from(body).toString();
    const read = operation === own ? decodeBody(text) : undefined;
    const atMs = nowMs();
    if (!read || read.run !== run)
      this.#strange.push({ atMs, text: `op ${operation}: ${text.slice(0, STRANGE_CHARACTERS)}` });
    else this.#shown.push({ atMs, connection, stream: read.stream, number: read.number });
  }

  /** What should not be: it is told as a violation. What ends with its client is none. */
  #wonder(client: Client, error: unknown): void {
    if (client === this.#client) this.#strange.push({ atMs: this.deps.nowMs(), text: String(error) });
  }

  /** The check's name of a stream. */
  #nameOf(stream: string): string {
    const { streams } = this.deps.spec;
    const kind = stream.startsWith('u/') ? 'user-' : stream.startsWith('r/') ? 'room-' : 'everyone';
    return streams.find((name) => name.startsWith(kind)) ?? stream;
  }

  #token(): string {
    const { mid, key } = this.deps.spec;
    const rest = JSON.stringify({ key, platform: 'check', accepts: [this.deps.operation] });
    return `{"mid":${mid},${rest.slice(1)}`;
  }
}

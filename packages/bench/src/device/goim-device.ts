import type { Frame } from '@halley/protocol/frame';
import { Backoff } from '@halley/service/backoff';

import { decodeBody } from '../check/body.js';
import type { ConnectionSpan, DeviceLog, Shown, Strange } from '../check/log.js';
import { clientAddress } from '../goim/client-address.js';
import { GoimClient } from '../goim/goim-client.js';
import type { Random } from '../random.js';
import { Absences } from './absences.js';
import type { Device, DeviceSpec } from './device.js';

export interface GoimDeviceDeps {
  readonly spec: DeviceSpec;
  readonly run: string;
  /** What it accepts, and is pushed to with. */
  readonly operation: number;
  /** Comets of its transport, as `tcp://127.0.0.1:3101`. */
  readonly comets: readonly string[];
  readonly random: Random;
  readonly nowMs: () => number;
  /** Between heartbeats; what left comet before the last but one is not repeated after a reconnect. */
  readonly heartbeatMs: number;
}

const RECONNECT = { baseMs: 100, maxMs: 2_000 };
/** Of a strange body, as much as is told. */
const STRANGE_CHARACTERS = 80;

/** A goim client (ver 1) with a key of its own: a comet that it comes back to goes on where it was, within ten minutes. */
export class GoimDevice implements Device {
  readonly #connections: ConnectionSpan[] = [];
  readonly #shown: Shown[] = [];
  readonly #strange: Strange[] = [];
  readonly #backoff: Backoff;
  #client: GoimClient | undefined;
  #timer: NodeJS.Timeout | undefined;
  #isConnected = false;
  #isStopped = false;
  #isAway = false;
  #isFrozen = false;
  readonly #absences = new Absences();
  #next: number;

  constructor(private readonly deps: GoimDeviceDeps) {
    const { random } = deps;
    this.#backoff = new Backoff(RECONNECT, () => random.below(1_000) / 1_000);
    this.#next = random.below(1_000);
  }

  get log(): DeviceLog {
    const { name, habit, streams } = this.deps.spec;
    return {
      name,
      kind: 'goim',
      habit,
      streams,
      connections: this.#connections,
      shown: this.#shown,
      strange: this.#strange,
      gaps: [],
      absences: this.#absences.spans,
    };
  }

  get isConnected(): boolean {
    return this.#isConnected;
  }

  start(): void {
    const { comets, heartbeatMs, spec, nowMs } = this.deps;
    const transport = spec.transport === 'tcp' ? 'tcp' : 'websocket';
    const to = comets[this.#next % comets.length] ?? '';
    this.#next += 1;
    this.#timer = undefined;
    this.#client = new GoimClient({
      address: clientAddress(to, transport),
      token: this.#token(),
      heartbeatMs,
      onConnected: () => {
        this.#backoff.reset();
        this.#isConnected = true;
        this.#connections.push({ openedAtMs: nowMs(), to, by: transport });
        if (this.#isFrozen) this.#client?.freeze();
      },
      onMessage: (frame) => this.#show(frame),
      onEnd: ({ code, reason }) => {
        this.#leave(code === undefined ? reason : `${code} ${reason}`);
        this.#client = undefined;
        if (this.#isStopped || this.#isAway) return;
        this.#timer = setTimeout(() => this.start(), this.#backoff.nextMs());
      },
    });
  }

  drop(): void {
    this.#client?.close('dropped by the check');
  }

  leave(): void {
    if (this.#isAway) return;
    this.#isAway = true;
    this.#absences.begin(this.deps.nowMs(), 'left');
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#client?.close('left');
  }

  comeBack(): void {
    if (!this.#isAway) return;
    this.#isAway = false;
    this.#absences.end(this.deps.nowMs());
    if (!this.#client && !this.#isStopped) this.start();
  }

  freeze(): void {
    if (this.#isFrozen) return;
    this.#isFrozen = true;
    this.#absences.begin(this.deps.nowMs(), 'frozen');
    if (this.#isConnected) this.#client?.freeze();
  }

  thaw(): void {
    if (!this.#isFrozen) return;
    this.#isFrozen = false;
    this.#absences.end(this.deps.nowMs());
    this.#client?.thaw();
  }

  stop(): void {
    this.#isStopped = true;
    clearTimeout(this.#timer);
    this.#client?.close('the check is over');
  }

  #leave(why: string): void {
    const last = this.#connections.at(-1);
    if (this.#isConnected && last)
      this.#connections[this.#connections.length - 1] = { ...last, closedAtMs: this.deps.nowMs(), why };
    this.#isConnected = false;
  }

  #show({ op, body }: Frame): void {
    const { run, operation, nowMs } = this.deps;
    const text = Buffer.from(body).toString();
    const read = op === operation ? decodeBody(text) : undefined;
    const atMs = nowMs();
    if (!read || read.run !== run) {
      this.#strange.push({ atMs, text: `op ${op}: ${text.slice(0, STRANGE_CHARACTERS)}` });
      return;
    }
    const { stream, number } = read;
    this.#shown.push({ atMs, connection: this.#connections.length - 1, stream, number });
  }

  /** goim's token, written by hand because JSON.stringify cannot keep all 64 bits of mid. */
  #token(): string {
    const { mid, key, room } = this.deps.spec;
    const rest = JSON.stringify({ key, room_id: room, platform: 'check', accepts: [this.deps.operation] });
    return `{"mid":${mid},${rest.slice(1)}`;
  }
}

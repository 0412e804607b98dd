import { AuthReply, Close, Deliver } from '@halley/protocol/client/bodies';
import { decodeMessage, FrameDecoder, unpackRaw } from '@halley/protocol/decoder';
import { encodeFrame, type Frame, VERSION_GOIM } from '@halley/protocol/frame';
import { isFrameV2 } from '@halley/protocol/frame-v2';
import { isProtocolOperation, Operation, OperationV2 } from '@halley/protocol/operation';

import { roomIndexOf, tokenOf } from '../identity.js';
import type { WorkerPlan } from '../lines.js';
import { Acks } from './acks.js';
import type { Receiver, Tally } from './tally.js';
import { Track } from './track.js';
import type { Timed, Wheel } from './wheel.js';
import { openWire, type Wire } from './wire.js';

/** Frames above this are faults. */
const MAX_FRAME_BYTES = 64 * 1_048_576;
const HANDSHAKE_MS = 20_000;
const ACK_MS = 1_000;
/** Answers to what the worker doesn't ask, and to 2. */
const ASIDES: ReadonlySet<number> = new Set([
  Operation.HeartbeatReply,
  Operation.ChangeRoomReply,
  Operation.SubscribeReply,
  Operation.UnsubscribeReply,
]);

/** What the connections of a worker share. */
export interface ConnectionDeps {
  readonly plan: WorkerPlan;
  readonly wheel: Wheel;
  readonly tally: Tally;
  /** CLOCK_MONOTONIC in nanoseconds. */
  readonly clockNs: () => number;
  /** It was authenticated. */
  readonly onOpen: (connection: Connection) => void;
  /** It ended, for this reason; `was` is what it was until then. */
  readonly onLost: (connection: Connection, reason: string, was: State) => void;
  /** The time that {@link Connection.pause} asked for is over. */
  readonly onPaused: (connection: Connection) => void;
}

export type State = 'idle' | 'waiting' | 'handshake' | 'open';

/** One connection of the load, through all its attempts. */
export class Connection implements Timed, Receiver {
  readonly index: number;
  readonly room: number;
  tracks: readonly Track[] = [];
  state: State = 'idle';
  attempts = 0;
  beganNs = 0;
  dueTick = -1;
  readonly #deps: ConnectionDeps;
  #wire: Wire | undefined;
  #decoder: FrameDecoder | undefined;
  #bytesRead = 0;
  /** A close code that was told ahead of the end. */
  #code = 0;
  #acks: Acks | undefined;
  #heartbeatMs = 0;
  #ackMs = 0;

  constructor(index: number, deps: ConnectionDeps) {
    this.index = index;
    this.room = roomIndexOf(deps.plan, index) ?? -1;
    this.#deps = deps;
  }

  /** Begins the first of its attempts: its sequences begin anew. */
  beginFirst(): void {
    this.tracks = [new Track(), new Track(), new Track()];
    this.attempts = 0;
    this.beganNs = this.#deps.clockNs();
    this.begin();
  }

  begin(): void {
    const { plan, wheel } = this.#deps;
    const address = plan.addresses[this.index % plan.addresses.length] as string;
    this.state = 'handshake';
    this.attempts += 1;
    this.#code = 0;
    this.#acks = undefined;
    this.#bytesRead = 0;
    this.#decoder = address.startsWith('tcp:')
      ? new FrameDecoder({ maxBodyBytes: MAX_FRAME_BYTES, version2: plan.version === 2 })
      : undefined;
    wheel.set(this, this.#nowMs() + HANDSHAKE_MS);
    this.#wire = openWire(address, plan.sources[this.index % Math.max(plan.sources.length, 1)], {
      onOpen: () => this.#authenticate(),
      onBytes: (bytes) => this.#take(bytes),
      onEnd: (reason) => this.lose(this.#code === 0 ? reason : `code_${this.#code}`),
    });
  }

  /** Does nothing for so long. */
  pause(ms: number): void {
    this.state = 'waiting';
    this.#deps.wheel.set(this, this.#nowMs() + ms);
  }

  /** Ends it at once, without a word to anybody. */
  cut(): void {
    this.state = 'idle';
    this.#deps.wheel.clear(this);
    this.#wire?.cut();
    this.#wire = undefined;
  }

  lose(reason: string): void {
    const was = this.state;
    this.cut();
    if (was !== 'idle') this.#deps.onLost(this, reason, was);
  }

  onTimer(nowMs: number): void {
    if (this.state === 'waiting') this.#deps.onPaused(this);
    else if (this.state === 'handshake') this.lose('timeout');
    else this.#onOpenTimer(nowMs);
  }

  #onOpenTimer(nowMs: number): void {
    if (this.#ackMs > 0 && this.#ackMs <= nowMs) this.#acknowledge();
    if (this.#heartbeatMs > 0 && this.#heartbeatMs <= nowMs) {
      this.#heartbeatMs += this.#deps.plan.heartbeatMs;
      this.#send(Operation.Heartbeat, new Uint8Array(0));
    }
    this.#setTimer();
  }

  #setTimer(): void {
    const due = [this.#heartbeatMs, this.#ackMs].filter((ms) => ms > 0);
    if (due.length > 0) this.#deps.wheel.set(this, Math.min(...due));
    else this.#deps.wheel.clear(this);
  }

  #authenticate(): void {
    const { plan } = this.#deps;
    this.#send(Operation.Auth, Buffer.from(tokenOf(plan, this.index, plan.version)));
  }

  #send(op: number, body: Uint8Array): void {
    this.#wire?.send(encodeFrame({ ver: VERSION_GOIM, op, seq: 0, body }));
  }

  #take(bytes: Uint8Array): void {
    const nowNs = this.#deps.clockNs();
    const frames: Frame[] = [];
    let good = true;
    this.#countBytes();
    try {
      if (this.#decoder) this.#decoder.push(bytes, frames);
      else this.#takeWhole(bytes, frames);
    } catch {
      good = false;
    }
    for (const frame of frames) if (this.#wire && good) good = this.#takeFrame(frame, nowNs);
    if (!good && this.#wire) this.lose('bad_frame');
  }

  #takeWhole(bytes: Uint8Array, frames: Frame[]): void {
    decodeMessage(bytes, { maxBodyBytes: MAX_FRAME_BYTES, version2: this.#deps.plan.version === 2 }, frames);
  }

  #countBytes(): void {
    const bytesRead = this.#wire?.bytesRead ?? 0;
    this.#deps.tally.bytes += bytesRead - this.#bytesRead;
    this.#bytesRead = bytesRead;
  }

  /** False where its body is malformed. */
  #takeFrame(frame: Frame, nowNs: number): boolean {
    const { op, body } = frame;
    const { tally } = this.#deps;
    const long = isFrameV2(frame);
    try {
      if (op === Operation.AuthReply) this.#takeAuth(frame, long);
      else if (op === Operation.Raw && !long)
        for (const inner of unpackRaw(frame)) tally.message(this, inner.body, nowNs);
      else if (op === OperationV2.Deliver && long) this.#deliver(Deliver.decode(body), nowNs);
      else if (op === OperationV2.Close && long) this.#code = Close.decode(body).code;
      else if (op === Operation.HeartbeatReply) tally.heartbeats += 1;
      else if (!ASIDES.has(op) && !(long && isProtocolOperation(op))) tally.message(this, body, nowNs);
      return true;
    } catch {
      return false;
    }
  }

  #takeAuth({ body }: Frame, long: boolean): void {
    const { plan } = this.#deps;
    if (this.state !== 'handshake') return;
    if (!long && plan.version === 2) {
      this.lose('version_1');
      return;
    }
    if (long) this.#acks = new Acks(AuthReply.decode(body));
    this.state = 'open';
    this.#ackMs = 0;
    // Anywhere in the first interval: who opened together does not beat together.
    this.#heartbeatMs = plan.heartbeatMs && this.#nowMs() + Math.random() * plan.heartbeatMs;
    this.#setTimer();
    this.#deps.onOpen(this);
  }

  #deliver(deliver: Deliver, nowNs: number): void {
    for (const { body } of deliver.entries) this.#deps.tally.message(this, body, nowNs);
    const when = this.#acks?.note(deliver) ?? 'never';
    if (when === 'now') this.#acknowledge();
    if (when === 'soon' && this.#ackMs === 0) {
      this.#ackMs = this.#nowMs() + ACK_MS;
      this.#setTimer();
    }
  }

  #acknowledge(): void {
    this.#ackMs = 0;
    const frame = this.#acks?.take();
    if (frame) this.#wire?.send(frame);
  }

  #nowMs(): number {
    return this.#deps.clockNs() / 1e6;
  }
}

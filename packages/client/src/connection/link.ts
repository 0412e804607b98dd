import { writeAuth, type AuthWishes } from '@halley/protocol/client/auth';
import { AuthReply, Close, ErrorBody } from '@halley/protocol/client/bodies';
import { encodeMessageFrame } from '@halley/protocol/client/encode';
import type { Fields, Message, WriteFields } from '@halley/protocol/client/message';
import { FrameDecoder } from '@halley/protocol/decoder';
import { DEFAULT_MAX_CLIENT_BODY_BYTES, encodeFrame, VERSION_GOIM, type Frame } from '@halley/protocol/frame';
import { FrameFlag, isFrameV2 } from '@halley/protocol/frame-v2';
import { Operation, OperationV2 } from '@halley/protocol/operation';

import { ClientError, connectionLost, errorOf, timedOut, versionUnsupported } from '../client-error.js';
import type { Clock } from '../clock.js';
import type { OpenTransport, Transport, TransportName } from '../transport/transport.js';
import { closedWith, faultOf, type LinkEnd } from './end.js';
import { Heartbeat } from './heartbeat.js';
import { Inbound } from './inbound.js';
import { Requests, type Answered } from './requests.js';

export interface LinkSettings {
  readonly clock: Clock;
  readonly openTransport: OpenTransport;
  /** From the start of connecting to the answer to auth. */
  readonly handshakeTimeoutMs: number;
  readonly heartbeatMs: number;
  readonly heartbeatTimeoutMs: number;
  readonly requestTimeoutMs: number;
  /** The largest body that is taken, inflated. */
  readonly maxFrameBytes: number;
}

export interface LinkEvents {
  /** Auth was answered. */
  opened(link: Link): void;
  /** A frame that answers no request. */
  frame(link: Link, frame: Frame): void;
  /** Once, last. */
  ended(link: Link, end: LinkEnd): void;
}

type State =
  | { readonly name: 'opening'; readonly cancelTimeout: () => void }
  | { readonly name: 'open'; readonly heartbeat: Heartbeat }
  | { readonly name: 'ended' };

const EMPTY = new Uint8Array(0);

/** One connection to one comet, from connecting to its end. It is not used again. */
export class Link {
  readonly address: string;
  readonly transport: TransportName;
  /** The transport was opened: there is somebody, who may be silent. */
  reached = false;
  /** What auth was answered with; undefined ahead of that, and where the server serves version 1 only. */
  auth: AuthReply | undefined;
  /** When auth was answered, by the client's clock. */
  openedAtMs = 0;
  readonly #settings: LinkSettings;
  readonly #events: LinkEvents;
  readonly #carrier: Transport;
  readonly #requests: Requests;
  readonly #inbound: Inbound;
  #state: State;

  /** Begins to connect; throws when the address is none. */
  constructor(
    settings: LinkSettings,
    address: string,
    transport: TransportName,
    hello: { readonly token: string; readonly wishes: AuthWishes },
    events: LinkEvents,
  ) {
    const { clock, handshakeTimeoutMs, maxFrameBytes } = settings;
    this.#settings = settings;
    this.#events = events;
    this.address = address;
    this.transport = transport;
    this.#requests = new Requests(clock);
    this.#inbound = new Inbound(
      maxFrameBytes,
      (frame) => this.#take(frame),
      (fault) => this.end(faultOf(fault)),
    );
    const carried = {
      opened: (): void => {
        this.reached = true;
        if (this.#state.name === 'opening') this.#goim(Operation.Auth, writeAuth(hello.token, hello.wishes));
      },
      received: (bytes: Uint8Array): void => {
        if (this.#state.name !== 'ended') this.#inbound.push(bytes);
      },
      closed: (code: number | undefined, text: string): void => this.end(closedWith(code, text)),
    };
    this.#carrier = settings.openTransport(address, carried, transport);
    this.#state = {
      name: 'opening',
      cancelTimeout: clock.after(handshakeTimeoutMs, () => this.end(silent('handshake_timeout'))),
    };
  }

  get open(): boolean {
    return this.#state.name === 'open';
  }

  /** Whether the server serves version 2 here. */
  get version2(): boolean {
    return this.auth !== undefined;
  }

  /** The largest body that may be sent. */
  get maxBodyBytes(): number {
    return this.auth?.maxClientBodyBytes || DEFAULT_MAX_CLIENT_BODY_BYTES;
  }

  /** Sends what is not answered. Nothing happens once the link has ended. */
  send<F extends Fields>(op: number, message: Message<F>, value: WriteFields<F>, seq = 0): void {
    if (!this.open || !this.auth) return;
    const flags = this.auth.checksum ? FrameFlag.Checksum : 0;
    this.#carrier.send(encodeMessageFrame(op, seq, message, value, flags));
  }

  /**
   * Sends a request. `answered` is called once, from within the handling of the answer's frame: ahead of the next frame.
   * Without an answer in time, or when the link ends first, with an error whose outcome is unknown.
   */
  ask<F extends Fields>(op: number, message: Message<F>, value: WriteFields<F>, answered: Answered): void {
    if (!this.open) return answered(connectionLost());
    if (!this.auth) return answered(versionUnsupported());
    this.send(op, message, value, this.#requests.add(this.#settings.requestTimeoutMs, answered));
  }

  /** Ends the connection from this side, or tells that it has ended. Only the first call counts. */
  end(end: LinkEnd): void {
    const { name } = this.#state;
    if (name === 'ended') return;
    if (this.#state.name === 'opening') this.#state.cancelTimeout();
    else if (this.#state.name === 'open') this.#state.heartbeat.stop();
    this.#state = { name: 'ended' };
    this.#carrier.close();
    this.#events.ended(this, end);
    this.#requests.fail(connectionLost(end.error));
  }

  #take(frame: Frame): void {
    try {
      if (this.#state.name === 'opening') this.#answered(frame);
      else if (this.#state.name === 'open') this.#dispatch(this.#state.heartbeat, frame);
    } catch (error) {
      this.end(faultOf(error));
    }
  }

  #answered(frame: Frame): void {
    if (frame.op === OperationV2.Close && isFrameV2(frame)) return this.#close(frame);
    if (frame.op !== Operation.AuthReply) return;
    if (this.#state.name === 'opening') this.#state.cancelTimeout();
    this.auth = isFrameV2(frame) ? AuthReply.decode(frame.body) : undefined;
    const { clock, heartbeatMs, heartbeatTimeoutMs: timeoutMs } = this.#settings;
    const heartbeat = new Heartbeat(clock, {
      intervalMs: Math.min(heartbeatMs, this.auth?.heartbeatMs || heartbeatMs),
      timeoutMs,
      beat: () => this.#goim(Operation.Heartbeat, EMPTY),
      dead: () => this.end(silent('heartbeat_timeout')),
    });
    this.#state = { name: 'open', heartbeat };
    this.openedAtMs = clock.now();
    this.#events.opened(this);
  }

  #dispatch(heartbeat: Heartbeat, frame: Frame): void {
    heartbeat.heard();
    if (!this.version2) {
      for (const push of pushesIn(frame)) this.#events.frame(this, push);
    } else if (frame.op === OperationV2.Close) {
      this.#close(frame);
    } else if (frame.seq === 0 || frame.op !== OperationV2.Error) {
      if (frame.seq === 0 || !this.#requests.settle(frame.seq, frame)) this.#events.frame(this, frame);
    } else {
      this.#requests.settle(frame.seq, errorOf(ErrorBody.decode(frame.body)));
    }
  }

  #close(frame: Frame): void {
    const { code, text, reconnect, reconnectAfterMs } = Close.decode(frame.body);
    this.end({ ...closedWith(code, text), reconnect, afterMs: reconnectAfterMs });
  }

  /** Asks for a sign of life now: for who knows that the network has changed. */
  beat(): void {
    if (this.#state.name === 'open') this.#state.heartbeat.now();
  }

  /** A frame of version 1, which both versions take. */
  #goim(op: number, body: Uint8Array): void {
    this.#carrier.send(encodeFrame({ ver: VERSION_GOIM, op, seq: 0, body }));
  }
}

/** In version 1 pushes come on WebSocket as frames in the body of another. */
function pushesIn(frame: Frame): readonly Frame[] {
  const { op, body } = frame;
  return op === Operation.Raw ? new FrameDecoder({ maxBodyBytes: body.length }).push(body) : [frame];
}

/** The server does not answer. */
function silent(code: string): LinkEnd {
  return { error: new ClientError(code, timedOut().message, { temporary: true }), reconnect: true };
}

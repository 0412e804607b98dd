import { systemClock } from '@halley/client/clock';
import { httpTransport } from '@halley/client/fallback';
import { tcpTransport } from '@halley/client/transport/tcp';
import type { OpenTransport, TransportName } from '@halley/client/transport/transport';
import { webSocketTransport, type WebSocketClass } from '@halley/client/transport/websocket';
import { WebSocket } from 'ws';

import type { Random } from '../random.js';

/** What a client of the SDK may be connected by. */
export const SDK_TRANSPORTS: readonly TransportName[] = ['tcp', 'websocket', 'sse', 'poll'];

const tcp = tcpTransport();
const webSocket = webSocketTransport(WebSocket as unknown as WebSocketClass);
const http = httpTransport(systemClock, fetch);

/** Opens any of them. */
export const openSdkTransport: OpenTransport = (address, events, name) => {
  if (name === 'tcp') return tcp(address, events);
  return name === 'websocket' ? webSocket(address, events) : http(address, events, name);
};

const STAYS_LEAST_MS = 1_000;
const STAYS_SPREAD_MS = 9_000;

/** Moves a client to another transport now and then, in the middle of whatever is going on, until it is stopped. */
export class Mover {
  #timer: NodeJS.Timeout | undefined;

  constructor(
    private readonly transports: readonly TransportName[],
    private readonly random: Random,
    /** Resolves when it is moved; a transport that does not get through just now is no trouble. */
    private readonly move: (to: TransportName) => Promise<void>,
  ) {}

  start(): void {
    this.#timer = setTimeout(
      () => {
        this.move(this.random.pick(this.transports)).catch(() => undefined);
        this.start();
      },
      STAYS_LEAST_MS + this.random.below(STAYS_SPREAD_MS),
    );
    this.#timer.unref();
  }

  stop(): void {
    clearTimeout(this.#timer);
  }
}

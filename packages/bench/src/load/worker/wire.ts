import { connect, type Socket } from 'node:net';

import { WebSocket } from 'ws';

/** Messages above this are faults. */
const MAX_MESSAGE_BYTES = 64 * 1_048_576;

/** A worker's words for what the system says. */
const ERROR_NAMES: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'refused',
  ECONNRESET: 'reset',
  EPIPE: 'reset',
  ETIMEDOUT: 'timeout',
  EADDRNOTAVAIL: 'no_port',
  EADDRINUSE: 'no_port',
  ENETUNREACH: 'unreachable',
  EHOSTUNREACH: 'unreachable',
  EMFILE: 'no_descriptor',
  ENFILE: 'no_descriptor',
};

export interface WireHandlers {
  onOpen(): void;
  /** Bytes of the stream, or a whole message. */
  onBytes(bytes: Uint8Array): void;
  /** Called once, unless it was cut off; with a word for why. */
  onEnd(reason: string): void;
}

/** A connection's transport. */
export interface Wire {
  /** All that was read. */
  readonly bytesRead: number;
  send(bytes: Uint8Array): void;
  /** Ends it at once, with a reset; nothing is called from then on. */
  cut(): void;
}

/** Connects to an address of the plan; `source` is the local address, undefined for any. */
export function openWire(address: string, source: string | undefined, handlers: WireHandlers): Wire {
  let cut = false;
  const on: WireHandlers = {
    onOpen: () => {
      if (!cut) handlers.onOpen();
    },
    onBytes: (bytes) => {
      if (!cut) handlers.onBytes(bytes);
    },
    onEnd: (reason) => {
      if (!cut) handlers.onEnd(reason);
      cut = true;
    },
  };
  const wire = address.startsWith('ws:') ? openWebSocket(address, source, on) : openTcp(address, source, on);
  return {
    get bytesRead() {
      return wire.bytesRead;
    },
    send: (bytes) => wire.send(bytes),
    cut: () => {
      cut = true;
      wire.cut();
    },
  };
}

function openTcp(address: string, source: string | undefined, on: WireHandlers): Wire {
  const url = new URL(address);
  const socket = connect({
    host: url.hostname.replace(/^\[|\]$/g, ''),
    port: Number(url.port),
    noDelay: true,
    ...(source === undefined ? {} : { localAddress: source }),
  });
  let reason = 'eof';
  socket.once('connect', () => on.onOpen());
  socket.on('data', (chunk: Buffer) => on.onBytes(chunk));
  socket.on('error', (error: NodeJS.ErrnoException) => {
    reason = nameOf(error);
  });
  socket.once('close', () => on.onEnd(reason));
  return {
    get bytesRead() {
      return socket.bytesRead;
    },
    send: (bytes) => void socket.write(bytes),
    cut: () => reset(socket),
  };
}

function openWebSocket(address: string, source: string | undefined, on: WireHandlers): Wire {
  const socket = new WebSocket(address, {
    perMessageDeflate: false,
    maxPayload: MAX_MESSAGE_BYTES,
    ...(source === undefined ? {} : { localAddress: source }),
  });
  let reason: string | undefined;
  let raw: Socket | undefined;
  socket.once('upgrade', (response) => {
    raw = response.socket;
    // ws itself does not tell a reset from an end.
    raw.once('error', (error) => {
      reason ??= nameOf(error);
    });
  });
  socket.once('open', () => on.onOpen());
  socket.on('message', (data: Buffer) => on.onBytes(data));
  socket.once('unexpected-response', (request, response) => {
    reason = `http_${response.statusCode}`;
    request.destroy();
    socket.terminate();
  });
  socket.on('error', (error) => {
    reason ??= nameOf(error, raw === undefined ? 'bad_upgrade' : 'bad_frame');
  });
  socket.once('close', (code) => on.onEnd(reason ?? (code === 1006 ? 'eof' : `code_${code}`)));
  return {
    get bytesRead() {
      return raw?.bytesRead ?? 0;
    },
    send: (bytes) => {
      if (socket.readyState === WebSocket.OPEN) socket.send(bytes);
    },
    cut: () => {
      if (raw) reset(raw);
      socket.terminate();
    },
  };
}

/** Without TIME_WAIT: the ports are needed again at once. */
function reset(socket: Socket): void {
  if (socket.connecting) socket.destroy();
  else socket.resetAndDestroy();
}

function nameOf(error: NodeJS.ErrnoException, otherwise = 'bad_socket'): string {
  const code = error.code ?? '';
  return ERROR_NAMES[code] ?? (code.startsWith('E') ? code.toLowerCase() : otherwise);
}

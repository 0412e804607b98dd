import { HalleyError } from '@halley/protocol/error';

export type Transport = 'tcp' | 'websocket';

/** Where a client connects, and how. */
export type ClientAddress =
  | {
      readonly transport: 'tcp';
      readonly host: string;
      readonly port: number;
      readonly tls: boolean;
      readonly text: string;
    }
  | { readonly transport: 'websocket'; readonly url: string; readonly text: string };

const DEFAULTS: Readonly<Record<Transport, string>> = { tcp: '127.0.0.1:3101', websocket: '127.0.0.1:3102' };

/** Reads `host:port`, tcp://, tls://, ws:// or wss://; without one, the first comet of this machine. */
export function clientAddress(text: string | undefined, transport: Transport | undefined): ClientAddress {
  const scheme = text === undefined ? undefined : /^([a-z]+):\/\//.exec(text)?.[1];
  const kind = transport ?? (scheme === 'ws' || scheme === 'wss' ? 'websocket' : 'tcp');
  const full =
    scheme === undefined ? `${kind === 'tcp' ? 'tcp' : 'ws'}://${text ?? DEFAULTS[kind]}` : (text ?? '');
  const url = parse(full);
  const port = Number(url.port);
  switch (url.protocol) {
    case 'tcp:':
    case 'tls:': {
      if (kind !== 'tcp' || port === 0) throw wrong(full);
      const host = url.hostname.replace(/^\[|\]$/g, '');
      return { transport: 'tcp', host, port, tls: url.protocol === 'tls:', text: full };
    }
    case 'ws:':
    case 'wss:': {
      if (kind !== 'websocket') throw wrong(full);
      if (url.pathname === '/') url.pathname = '/sub';
      return { transport: 'websocket', url: url.href, text: url.href };
    }
    default:
      throw wrong(full);
  }
}

function parse(text: string): URL {
  try {
    const url = new URL(text);
    if (url.hostname === '') throw wrong(text);
    return url;
  } catch (error) {
    throw error instanceof HalleyError ? error : wrong(text);
  }
}

function wrong(text: string): HalleyError {
  return new HalleyError(
    'invalid_argument',
    `${text} is no address for this; write host:port, tcp://host:port, tls://host:port, ws://host:port or wss://host:port`,
  );
}

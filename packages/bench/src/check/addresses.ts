import { HalleyError } from '@halley/protocol/error';

import type { ClusterFile } from '../faults/cluster-file.js';

/** Where clients connect, and where pushes go. */
export interface Addresses {
  /** As `tcp://127.0.0.1:3101`. */
  readonly tcp: readonly string[];
  /** As `ws://127.0.0.1:3102/sub`. */
  readonly websocket: readonly string[];
  /** `host:port` of logics. */
  readonly grpc: readonly string[];
  /** As `http://127.0.0.1:3111`. */
  readonly http: readonly string[];
}

/** Those of the cluster in the file. */
export function clusterAddresses({ processes }: ClusterFile): Addresses {
  const at = (tier: string, kind: string, before = '', after = ''): string[] =>
    processes
      .filter((one) => one.tier === tier)
      .flatMap(({ ports }) =>
        ports[kind] === undefined ? [] : [`${before}127.0.0.1:${ports[kind]}${after}`],
      );
  return {
    tcp: at('comet', 'tcp', 'tcp://'),
    websocket: at('comet', 'ws', 'ws://', '/sub'),
    grpc: at('logic', 'grpc'),
    http: at('logic', 'http', 'http://'),
  };
}

/**
 * Reads addresses: a host alone has a comet and a logic on the usual ports; `tcp://`, `tls://`, `ws://`, `wss://`, `grpc://` and
 * `http://` name one of a kind. Throws `invalid_argument`.
 */
export function parseAddresses(texts: readonly string[]): Addresses {
  const found = {
    tcp: [] as string[],
    websocket: [] as string[],
    grpc: [] as string[],
    http: [] as string[],
  };
  for (const text of texts) {
    const [, scheme, rest = ''] = /^(?:([a-z]+):\/\/)?([^\s/]+(?:\/.*)?)$/.exec(text) ?? [];
    if (rest === '') throw wrong(text);
    if (scheme === undefined) {
      if (/:\d+$/.test(rest)) throw wrong(text);
      found.tcp.push(`tcp://${rest}:3101`);
      found.websocket.push(`ws://${rest}:3102/sub`);
      found.grpc.push(`${rest}:3119`);
      found.http.push(`http://${rest}:3111`);
    } else if (scheme === 'tcp' || scheme === 'tls') found.tcp.push(text);
    else if (scheme === 'ws' || scheme === 'wss') found.websocket.push(text);
    else if (scheme === 'grpc') found.grpc.push(rest);
    else if (scheme === 'http') found.http.push(text);
    else throw wrong(text);
  }
  if (found.tcp.length + found.websocket.length === 0)
    throw new HalleyError(
      'invalid_argument',
      '--against names no comet: add tcp://host:port or ws://host:port',
    );
  if (found.grpc.length + found.http.length === 0)
    throw new HalleyError('invalid_argument', '--against names no logic: add grpc://host:port');
  return found;
}

function wrong(text: string): HalleyError {
  return new HalleyError(
    'invalid_argument',
    `${text} is no address; write cluster.json's path, a host, or tcp://, ws://, grpc:// and http://host:port`,
  );
}

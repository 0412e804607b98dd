import { ClientError } from '../client-error.js';
import type { Nodes } from './addresses.js';

export interface WeightedNodesOptions {
  /** Which port of the nodes: default `ws`. */
  readonly scheme?: 'ws' | 'wss' | 'tcp';
  /** Told to logic: `web` is answered with host names. Default `web`. */
  readonly platform?: string;
  /** Sent along, for what stands in front of logic. */
  readonly headers?: Readonly<Record<string, string>>;
}

interface Answer {
  readonly data: {
    readonly nodes: readonly string[];
    readonly tcp_port: number;
    readonly ws_port: number;
    readonly wss_port: number;
  };
}

/**
 * Asks logic, at `url` (`https://logic.example`), for the comets that suit best: GET /goim/nodes/weighted. For the option
 * `nodes`.
 */
export function weightedNodes(
  url: string,
  { scheme = 'ws', platform = 'web', headers = {} }: WeightedNodesOptions = {},
): Nodes {
  const asked = `${url}/goim/nodes/weighted?platform=${encodeURIComponent(platform)}`;
  return async () => {
    const response = await fetch(asked, { headers, signal: AbortSignal.timeout(10_000) });
    if (!response.ok) {
      throw new ClientError('unavailable', `${asked} answered ${response.status}.`, { temporary: true });
    }
    const { data } = (await response.json()) as Answer;
    const port = data[`${scheme}_port`];
    return data.nodes.map((node) => `${scheme}://${node}:${port}`);
  };
}

import { get } from 'node:http';

import { HalleyError } from '@halley/protocol/error';

import { benchServices, clientOf } from '../send/grpc-services.js';
import type { BenchOptions } from './options.js';
import type { ConnectResult } from './result.js';

const WAIT_MS = 5_000;
/** Connections that fail: what it says of who listens there. */
const MEANINGS: Readonly<Record<string, string>> = {
  refused: 'nothing listens there',
  bad_frame: "what listens there does not speak goim's protocol",
  eof: 'what listens there closes before it answers: another protocol, or a token that is refused',
};

/**
 * Looks whether pushes have a way into the server, before connections are made for nothing. Throws `unavailable` that names the
 * address and the option.
 */
export async function checkPushWay({
  target,
  via,
  apiKey,
}: Pick<BenchOptions, 'target' | 'via' | 'apiKey'>): Promise<void> {
  switch (via) {
    case 'goim':
    case 'v1':
    case 'v1-batch':
      await Promise.all(target.http.map((address) => checkHttp(address, via, apiKey)));
      return;
    case 'push':
    case 'batch':
      await Promise.all(
        target.grpc.map((address) => checkGrpc(address, `halley.push gRPC (--via ${via}): --grpc`)),
      );
      return;
    case 'comet':
      await Promise.all(
        target.cometGrpc.map((address) => checkGrpc(address, "comet's gRPC (--via comet): --comet-grpc")),
      );
  }
}

/** What is said where connections were not made. */
export function notConnected(
  { failed }: Pick<ConnectResult, 'failed'>,
  addresses: readonly string[],
): HalleyError {
  const count = Object.values(failed).reduce((sum, one) => sum + one, 0);
  const meaning = Object.keys(failed).flatMap((reason) => MEANINGS[reason] ?? [])[0];
  return new HalleyError(
    'unavailable',
    `${count} connections to ${addresses.join(', ')} were not made: ${reasonText(failed)}${meaning === undefined ? '' : `; ${meaning} (--tcp and --ws name other ports)`}`,
  );
}

/** As `ECONNREFUSED 12, timeout 3`. */
export function reasonText(reasons: Readonly<Record<string, number>>): string {
  return Object.entries(reasons)
    .toSorted(([, a], [, b]) => b - a)
    .map(([reason, count]) => `${reason} ${count}`)
    .join(', ');
}

/** Who has goim's API answers this; of another HTTP server the answer to a push tells. */
async function checkHttp(address: string, via: string, apiKey: string | undefined): Promise<void> {
  const what = `logic's HTTP (--via ${via}): --http names another port`;
  let status: number | undefined;
  try {
    status = await statusOf(`http://${address}/goim/online/total`, apiKey);
  } catch (error) {
    throw new HalleyError(
      'unavailable',
      `${httpTrouble(address, error as Error)}, where pushes go by ${what}`,
    );
  }
  if (via === 'goim' && status === 404)
    throw new HalleyError('unavailable', `${address} has no /goim/online/total (404): it is not ${what}`);
}

function statusOf(url: string, apiKey: string | undefined): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    const headers = apiKey === undefined ? {} : { 'x-api-key': apiKey };
    get(url, { headers, agent: false, signal: AbortSignal.timeout(WAIT_MS) }, (answer) => {
      answer.destroy();
      resolve(answer.statusCode);
    }).on('error', reject);
  });
}

function httpTrouble(address: string, { code }: NodeJS.ErrnoException): string {
  if (code === 'ABORT_ERR') return `nobody answers at ${address} within ${WAIT_MS / 1_000} s`;
  if (code === 'ECONNREFUSED') return `nothing listens at ${address}`;
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN') return `${address} is not known`;
  return `what listens at ${address} does not speak HTTP`;
}

function checkGrpc(address: string, what: string): Promise<void> {
  const client = clientOf(benchServices().PushService, address);
  return new Promise((resolve, reject) => {
    client.waitForReady(Date.now() + WAIT_MS, (error) => {
      client.close();
      if (!error) resolve();
      else
        reject(
          new HalleyError(
            'unavailable',
            `no gRPC server answers at ${address} within ${WAIT_MS / 1_000} s, where pushes go by ${what} names another port`,
          ),
        );
    });
  });
}

import { createHash, randomBytes } from 'node:crypto';
import { lookup } from 'node:dns/promises';
import { isIP } from 'node:net';

import { HalleyError } from '@halley/protocol/error';

import type { WorkerPlan } from './lines.js';
import type { LoadPlan } from './load-side.js';

const MAX_PROCESSES = 64;
const MAX_ADDRESSES = 256;
const MAX_ACCEPTS = 64;
/** Of RFC 6455, 1.3. */
const WEBSOCKET_GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';

/** The parts of the workers, as even as it goes. Throws HalleyError `invalid_argument` that names the field. */
export async function workerPlans(plan: LoadPlan): Promise<WorkerPlan[]> {
  check(plan);
  const { version, identity, connections, perSecond, atOnce, heartbeatMs, run, sources = [] } = plan;
  const processes = Math.min(plan.processes ?? 1, Math.max(connections, 1));
  const addresses = await Promise.all(plan.addresses.map(numeric));
  const websocketKey = randomBytes(16).toString('base64');
  const websocketAccept = createHash('sha1').update(`${websocketKey}${WEBSOCKET_GUID}`).digest('base64');
  return Array.from({ length: processes }, (_, worker) => {
    const first = Math.floor((connections * worker) / processes);
    return {
      do: 'plan',
      ...identity,
      version,
      addresses,
      sources,
      first,
      connections: Math.floor((connections * (worker + 1)) / processes) - first,
      perSecond: perSecond / processes,
      atOnce: Math.max(1, Math.floor(atOnce / processes)),
      heartbeatMs,
      run: `${run}`,
      websocketKey,
      websocketAccept,
    };
  });
}

function check(plan: LoadPlan): void {
  const { addresses, identity, sources = [], processes = 1, run } = plan;
  const count = addresses.length;
  must(count >= 1 && count <= MAX_ADDRESSES, 'addresses', `${count}, not 1 to ${MAX_ADDRESSES}`);
  must(sources.length <= MAX_ADDRESSES, 'sources', `${sources.length}, not 0 to ${MAX_ADDRESSES}`);
  for (const source of sources) must(isIP(source) !== 0, 'sources', `${source} is no address of this host`);
  must(whole(processes, 1, MAX_PROCESSES), 'processes', `${processes}, not 1 to ${MAX_PROCESSES}`);
  must(whole(plan.connections, 0, 10_000_000), 'connections', `${plan.connections}, not 0 to 10,000,000`);
  must(whole(plan.atOnce, 1, 10_000_000), 'atOnce', `${plan.atOnce}, not 1 or more`);
  must(
    plan.perSecond >= 0 && Number.isFinite(plan.perSecond),
    'perSecond',
    `${plan.perSecond}, not 0 or more`,
  );
  must(whole(plan.heartbeatMs, 0, 86_400_000), 'heartbeatMs', `${plan.heartbeatMs}, not 0 to a day`);
  must(run >= 0n && run < 2n ** 64n, 'run', `${run} is not of 64 bits`);
  must(whole(identity.rooms, 0, 2 ** 30 - 1), 'identity.rooms', `${identity.rooms}, not 0 or more`);
  must(whole(identity.firstMid, 0, 2 ** 52), 'identity.firstMid', `${identity.firstMid}, not 0 or more`);
  must(identity.accepts.length <= MAX_ACCEPTS, 'identity.accepts', `above ${MAX_ACCEPTS} operations`);
  for (const field of ['roomType', 'keyPrefix'] as const)
    must(
      /^[!#-[\]-~]{0,64}$/.test(identity[field]),
      `identity.${field}`,
      `'${identity[field]}' is not up to 64 letters, digits and signs`,
    );
}

function whole(value: number, least: number, most: number): boolean {
  return Number.isInteger(value) && value >= least && value <= most;
}

function must(holds: boolean, field: string, why: string): void {
  if (!holds) throw new HalleyError('invalid_argument', `the load's ${field}: ${why}`);
}

/** The address with its host looked up, which the workers don't. */
async function numeric(text: string): Promise<string> {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (!url || (url.protocol !== 'tcp:' && url.protocol !== 'ws:') || url.hostname === '' || url.port === '0')
    throw new HalleyError(
      'invalid_argument',
      `the load's addresses: ${text} is no tcp://host:port or ws://host:port/sub`,
    );
  const port = url.port || (url.protocol === 'ws:' ? '80' : '');
  must(port !== '', 'addresses', `${text} has no port`);
  const host = url.hostname.replace(/^\[|\]$/g, '');
  const address = isIP(host) ? host : (await resolved(host)).address;
  const authority = `${isIP(address) === 6 ? `[${address}]` : address}:${port}`;
  if (url.protocol === 'tcp:') return `tcp://${authority}`;
  return `ws://${authority}${url.pathname === '/' ? '/sub' : url.pathname}${url.search}`;
}

async function resolved(host: string): Promise<{ address: string }> {
  try {
    return await lookup(host);
  } catch (error) {
    throw new HalleyError('invalid_argument', `the load's addresses: ${host} is not known`, { cause: error });
  }
}

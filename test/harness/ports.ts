import { randomInt } from 'node:crypto';
import { createServer } from 'node:net';

/** The ports of the tiers on an offset of 0, as in the documentation. */
export const PORTS = {
  tcp: 3101,
  ws: 3102,
  wss: 3103,
  cometOps: 3104,
  tls: 3105,
  cometGrpc: 3109,
  logicHttp: 3111,
  logicOps: 3114,
  logicGrpc: 3119,
  jobOps: 3124,
} as const;

/** Offsets in hundreds. Of two runs of tests beside each other each has a half. */
const OFFSETS = { '0': [20, 64], '1': [66, 110] }[process.env['HALLEY_TEST_RUN'] ?? ''] ?? [20, 110];

/**
 * An offset at which all ports of all tiers are free, below those that services take (from 15,000); for `nodes` of each, also
 * at the next ones.
 */
export async function freePortOffset(nodes = 1): Promise<number> {
  for (let tries = 0; tries < 100; tries += 1) {
    const offset = 100 * randomInt(OFFSETS[0]!, OFFSETS[1]!);
    const ports = Array.from({ length: nodes }, (_, at) =>
      Object.values(PORTS).map((port) => port + offset + 100 * at),
    );
    const free = await Promise.all(ports.flat().map(isFree));
    if (free.every(Boolean)) return offset;
  }
  throw new Error('no range of free ports');
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });
}

import net from 'node:net';

const FIRST = 15_000;
/** Below the ports that the kernel hands out to outgoing connections, so that a restarted service gets its port back. */
const LAST = 31_999;

/** A port of 127.0.0.1 that nobody listens on, different for each call of this process. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = FIRST + Math.floor(Math.random() * (LAST - FIRST + 1));
    if (given.has(port)) continue;
    given.add(port);
    if (await isFree(port)) return port;
  }
}

const given = new Set<number>();

/** Whether nobody listens on this port of 127.0.0.1. */
export function isFree(port: number, host = '127.0.0.1'): Promise<boolean> {
  return new Promise((resolve) => {
    const server = net.createServer();
    server.once('error', () => resolve(false));
    server.listen(port, host, () => server.close(() => resolve(true)));
  });
}

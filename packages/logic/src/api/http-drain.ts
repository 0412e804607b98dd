import type { Server } from 'node:http';
import { Server as TcpServer } from 'node:net';

/** How long a connection that is kept open may still bring a request. */
const LINGER_MS = 1_000;

/**
 * Ends a server without failing a request that is on its way: no new connections, and every connection ends with the
 * answer to its next request (which has to say `connection: close`). Those on which none comes are closed after a
 * second, as a caller that is silent so long is unlikely to ask at that very moment, and all of them at the deadline.
 */
export async function drainHttp(server: Server, deadlineMs: number): Promise<void> {
  // http's own close would cut idle connections at once, and with them what is asked on them just now.
  const ended = new Promise<void>((resolve) => {
    TcpServer.prototype.close.call(server, () => resolve());
  });
  const linger = setTimeout(() => server.closeIdleConnections(), Math.min(LINGER_MS, deadlineMs / 2));
  const cutOff = setTimeout(() => server.closeAllConnections(), deadlineMs);
  await ended;
  clearTimeout(linger);
  clearTimeout(cutOff);
}

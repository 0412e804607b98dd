import { get } from 'node:http';

/** Whether the ops server on this port of this host answers that its node can serve. Asks for a second at most. */
export function isReady(opsPort: number, host = '127.0.0.1'): Promise<boolean> {
  return new Promise((resolve) => {
    const request = get(
      { host, port: opsPort, path: '/readyz', timeout: 1_000, agent: false },
      (response) => {
        response.resume();
        resolve(response.statusCode === 200);
      },
    );
    request.on('timeout', () => request.destroy());
    request.on('error', () => resolve(false));
  });
}

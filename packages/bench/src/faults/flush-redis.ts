import { connect } from 'node:net';

const TIMEOUT_MS = 5_000;

/** FLUSHALL at `host:port`. */
export function flushRedis(address: string): Promise<void> {
  const colon = address.lastIndexOf(':');
  return new Promise((resolve, reject) => {
    const socket = connect({ host: address.slice(0, colon), port: Number(address.slice(colon + 1)) });
    socket.setTimeout(TIMEOUT_MS, () => socket.destroy(new Error(`Redis at ${address} did not answer`)));
    socket.once('error', reject);
    socket.once('data', (answer: Buffer) => {
      socket.destroy();
      if (answer.toString().startsWith('+OK')) resolve();
      else reject(new Error(`Redis at ${address} answered ${answer.toString().trim()}`));
    });
    socket.write('FLUSHALL\r\n');
  });
}

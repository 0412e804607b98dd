import net from 'node:net';

/**
 * Connects, sends `request` and answers whether what came back within a second satisfies `enough`.
 * Never throws: a refused connection is false.
 */
export function probe(
  port: number,
  request: Buffer | string,
  enough: (answer: Buffer) => boolean,
  host = '127.0.0.1',
): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = net.connect(port, host, () => socket.write(request));
    let answer = Buffer.alloc(0);
    const end = (result: boolean): void => {
      socket.destroy();
      resolve(result);
    };
    socket.setTimeout(1_000, () => end(false));
    socket.on('data', (chunk) => {
      answer = Buffer.concat([answer, chunk]);
      if (enough(answer)) end(true);
    });
    socket.on('error', () => end(false));
    socket.on('close', () => end(false));
  });
}

/** Whether somebody accepts connections on the port. */
export function accepts(port: number, host = '127.0.0.1'): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = net.connect(port, host);
    const end = (result: boolean): void => {
      socket.destroy();
      resolve(result);
    };
    socket.setTimeout(1_000, () => end(false));
    socket.on('connect', () => end(true));
    socket.on('error', () => end(false));
  });
}

import { createServer, connect, type AddressInfo, type Server, type Socket } from 'node:net';

import { FrameDecoder } from '@halley/protocol/decoder';
import { encodeFrame, type Frame } from '@halley/protocol/frame';
import { Operation } from '@halley/protocol/operation';

/** What becomes of a push on its way to a client: nothing, itself, or several. */
export type Tampering = (push: Frame) => readonly Frame[];

const REPLIES: readonly number[] = [Operation.AuthReply, Operation.HeartbeatReply];

/** Between clients and a comet, over TCP: hands over everything, but pushes as it is told. */
export class FrameProxy {
  private constructor(
    private readonly server: Server,
    private readonly sockets: Set<Socket>,
  ) {}

  /** `127.0.0.1:port` */
  get address(): string {
    return `127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  /** To `host:port`. Each connection has a tampering of its own. */
  static async start(to: string, tampering: () => Tampering): Promise<FrameProxy> {
    const [host = '', port] = to.split(':');
    const sockets = new Set<Socket>();
    const server = createServer((client) => {
      const comet = connect({ host, port: Number(port) });
      const decoder = new FrameDecoder({ maxBodyBytes: 4 * 1024 * 1024 });
      const tamper = tampering();
      for (const [socket, other] of [
        [client, comet],
        [comet, client],
      ] as const) {
        sockets.add(socket);
        socket.on('error', () => undefined);
        socket.on('close', () => {
          sockets.delete(socket);
          other.destroy();
        });
      }
      client.on('data', (chunk) => comet.write(chunk));
      comet.on('data', (chunk) => {
        for (const frame of decoder.push(chunk))
          for (const one of REPLIES.includes(frame.op) ? [frame] : tamper(frame))
            client.write(encodeFrame(one));
      });
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return new FrameProxy(server, sockets);
  }

  async stop(): Promise<void> {
    for (const socket of this.sockets) socket.destroy();
    await new Promise((resolve) => this.server.close(resolve));
  }
}

import net from 'node:net';
import type { AddressInfo } from 'node:net';

const PRODUCE = 0;

/** Stands between a Kafka client and its broker, and can lose or make up the broker's answers to produce requests. */
export class AnswerLosingProxy {
  /** How many more answers are lost, with the connection. */
  loseAnswers = 0;
  /** The error code that produce requests are answered with, in place of the broker, which doesn't get them. */
  answerWith: number | undefined;
  /** What `answerWith` becomes with the last answer that is lost. */
  thenAnswerWith: number | undefined;
  /** Produce requests that went through to the broker. */
  produces = 0;
  readonly #server: net.Server;
  readonly #sockets = new Set<net.Socket>();

  constructor(broker: string) {
    const [host = '', port] = broker.split(':');
    this.#server = net.createServer((client) => this.#join(client, net.connect(Number(port), host)));
  }

  async start(): Promise<number> {
    await new Promise<void>((resolve) => {
      this.#server.listen(0, '127.0.0.1', resolve);
    });
    return (this.#server.address() as AddressInfo).port;
  }

  async stop(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => {
      this.#server.close(resolve);
    });
  }

  #join(client: net.Socket, broker: net.Socket): void {
    let lose = false;
    let pending = Buffer.alloc(0);
    for (const [socket, other] of [
      [client, broker],
      [broker, client],
    ] as const) {
      this.#sockets.add(socket);
      socket.on('error', () => undefined);
      socket.on('close', () => {
        this.#sockets.delete(socket);
        other.destroy();
      });
    }
    client.on('data', (data) => {
      pending = Buffer.concat([pending, data]);
      while (pending.length >= 4 && pending.length >= 4 + pending.readInt32BE(0)) {
        const request = pending.subarray(0, 4 + pending.readInt32BE(0));
        pending = pending.subarray(request.length);
        if (request.readInt16BE(4) !== PRODUCE) {
          broker.write(request);
        } else if (this.answerWith !== undefined) {
          client.write(produceAnswer(request, this.answerWith));
        } else {
          this.produces += 1;
          lose ||= this.loseAnswers > 0;
          if (lose) this.loseAnswers -= 1;
          if (lose && this.loseAnswers === 0) this.answerWith = this.thenAnswerWith;
          broker.write(request);
        }
      }
    });
    broker.on('data', (data) => {
      if (lose) client.destroy();
      else client.write(data);
    });
  }
}

/** A produce answer (version 3 to 7) with one error code for every partition of the request. */
function produceAnswer(request: Buffer, code: number): Buffer {
  const version = request.readInt16BE(6);
  let at = 12;
  const text = (): Buffer => {
    const length = Math.max(0, request.readInt16BE(at));
    const whole = request.subarray(at, at + 2 + length);
    at += 2 + length;
    return whole;
  };
  const number = (): number => {
    at += 4;
    return request.readInt32BE(at - 4);
  };
  text(); // client
  text(); // transaction
  at += 6; // acks, timeout
  const topicCount = number();
  const parts: Buffer[] = [int32(topicCount)];
  for (let topic = 0; topic < topicCount; topic += 1) {
    parts.push(text());
    const partitionCount = number();
    parts.push(int32(partitionCount));
    for (let partition = 0; partition < partitionCount; partition += 1) {
      const answer = Buffer.alloc(version >= 5 ? 30 : 22, 0xff);
      answer.writeInt32BE(number(), 0);
      answer.writeInt16BE(code, 4);
      parts.push(answer);
      at += number();
    }
  }
  const body = Buffer.concat([request.subarray(8, 12), ...parts, int32(0)]);
  return Buffer.concat([int32(body.length), body]);
}

function int32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32BE(value);
  return bytes;
}

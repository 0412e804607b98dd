import { Kafka, logLevel, type Producer } from 'kafkajs';

import { codec, protos } from '@halley/cluster/grpc/protos';

import type { Answer, Destination, Pusher } from './pushers.js';

const pushMsg = codec(protos.goim.logic.PushMsg);

/** Writes to goim's topic as goim's own logic does, to keys and rooms: in the order of the calls, what came meanwhile together. */
export class GoimProducer implements Pusher {
  readonly #producer: Producer;
  #waiting: { readonly key: string; readonly value: Buffer; readonly tell: (answer: Answer) => void }[] = [];
  #writing = false;

  private constructor(broker: string) {
    const kafka = new Kafka({ brokers: [broker], logLevel: logLevel.NOTHING });
    this.#producer = kafka.producer({ idempotent: true, maxInFlightRequests: 1 });
  }

  static async connect(broker: string): Promise<GoimProducer> {
    const producer = new GoimProducer(broker);
    await producer.#producer.connect();
    return producer;
  }

  push(to: Destination, operation: number, body: string): Promise<Answer> {
    if ('mid' in to || 'mids' in to) throw new Error("goim's topic knows keys and rooms, no users");
    const message = { operation, msg: Buffer.from(body) };
    const [key, value] =
      'key' in to
        ? [to.key, pushMsg.encode({ ...message, type: 'PUSH', server: 'a-comet', keys: [to.key] })]
        : [to.room.id, pushMsg.encode({ ...message, type: 'ROOM', room: to.room.id })];
    return new Promise((tell) => {
      this.#waiting.push({ key, value, tell });
      if (!this.#writing) void this.#write();
    });
  }

  close(): void {
    void this.#producer.disconnect();
  }

  async #write(): Promise<void> {
    this.#writing = true;
    // What is pushed in this turn of the loop goes together.
    await Promise.resolve();
    while (this.#waiting.length > 0) {
      const taken = this.#waiting.splice(0, 100);
      const messages = taken.map(({ key, value }) => ({ key, value }));
      const answer = await this.#producer.send({ topic: 'goim-push-topic', messages, acks: -1 }).then(
        (): Answer => ({ outcome: 'ok' }),
        (error: unknown): Answer => ({ outcome: 'unknown', why: String(error) }),
      );
      for (const { tell } of taken) tell(answer);
    }
    this.#writing = false;
  }
}

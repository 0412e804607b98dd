import { createServer, type IncomingMessage } from 'node:http';

import { Server, ServerCredentials, type ServiceDefinition, status } from '@grpc/grpc-js';
import { Kafka, logLevel } from 'kafkajs';

import { benchServices } from '../../send/grpc-services.js';
import { listen, PARTITIONS, runNode } from './node.js';
import type { PackedPush } from './packed.js';
import { ProduceLane } from './produce-lane.js';

/** The bare logic: pushes to users go to Kafka as they are, and are answered when it has them. No id, no rights, no admission. */
interface BatchRequest {
  readonly requests: readonly {
    readonly target: { readonly users: { readonly mids: readonly string[] } };
    readonly operation: number;
    readonly body: Buffer;
  }[];
}

async function readBody(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

/** `POST /goim/push/mids?operation=1000&mids=7`, with one user. */
function pushOf(url: string, body: Buffer): PackedPush {
  const query = new URLSearchParams(url.slice(url.indexOf('?') + 1));
  return { mid: Number(query.get('mids')), operation: Number(query.get('operation')), body };
}

await runNode(async ({ kafka, name }) => {
  const client = new Kafka({ brokers: [kafka], clientId: name, logLevel: logLevel.ERROR });
  const admin = client.admin();
  await admin.connect();
  await admin.createTopics({
    topics: [{ topic: name, numPartitions: PARTITIONS, replicationFactor: 1 }],
    waitForLeaders: true,
  });
  const producer = client.producer({
    idempotent: true,
    maxInFlightRequests: 1,
    allowAutoTopicCreation: false,
  });
  await producer.connect();
  const lane = new ProduceLane(PARTITIONS, (messages) =>
    producer.send({ topic: name, messages: [...messages] }),
  );

  const http = createServer((request, response) => {
    const answer = (code: number, text: string): void => {
      const body = `{"code":${code},"message":${JSON.stringify(text)}}`;
      response.writeHead(code === 0 ? 200 : 503, {
        'content-type': 'application/json',
        'content-length': Buffer.byteLength(body),
      });
      response.end(body);
    };
    readBody(request)
      .then((body) => lane.add([pushOf(request.url ?? '', body)]))
      .then(
        () => answer(0, ''),
        (error: unknown) => answer(-1, (error as Error).message),
      );
  });

  const grpc = new Server();
  grpc.addService((benchServices().PushService as unknown as { service: ServiceDefinition }).service, {
    PushBatch: (
      { request: { requests } }: { readonly request: BatchRequest },
      done: (
        error: object | null,
        reply?: { readonly results: readonly { readonly outcome: string }[] },
      ) => void,
    ) => {
      const pushes = requests.map(({ target, operation, body }) => {
        return { mid: Number(target.users.mids[0]), operation, body };
      });
      lane.add(pushes).then(
        () => done(null, { results: requests.map(() => ({ outcome: 'OUTCOME_OK', message: '' })) }),
        (error: unknown) => done({ code: status.UNAVAILABLE, details: (error as Error).message }),
      );
    },
  });
  return {
    ports: {
      http: await listen(http),
      grpc: await new Promise<number>((resolve, reject) =>
        grpc.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, port) =>
          error ? reject(error) : resolve(port),
        ),
      ),
    },
    stop: async () => {
      await producer.disconnect();
      await admin.deleteTopics({ topics: [name] });
      await admin.disconnect();
    },
  };
});

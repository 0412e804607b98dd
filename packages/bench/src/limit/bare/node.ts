import type { AddressInfo, Server } from 'node:net';

/** What a node of the bare chain is told when it is started. */
export interface BareSettings {
  /** Of Kafka and Redis, `host:port`; empty for a comet. */
  readonly kafka: string;
  readonly redis: string;
  /** The topic, the consumer group and the prefix of keys: of this run alone. */
  readonly name: string;
  /** Of comet's gRPC, for the job. */
  readonly comet: string;
}

/** As many as Halley's bus has. */
export const PARTITIONS = 24;

/** From job to comet: a stream of packed pushes, which is answered at its end alone. */
export const DELIVER = {
  Deliver: {
    path: '/bare.Comet/Deliver',
    requestStream: true,
    responseStream: false,
    requestSerialize: (bytes: Buffer) => bytes,
    requestDeserialize: (bytes: Buffer) => bytes,
    responseSerialize: (bytes: Buffer) => bytes,
    responseDeserialize: (bytes: Buffer) => bytes,
  },
} as const;

/** Runs a node: `start` answers its ports, which are said on stdout; `stop` is called when whoever started it lets go of its stdin. */
export async function runNode(
  start: (settings: BareSettings) => Promise<{
    readonly ports: Readonly<Record<string, number>>;
    readonly stop?: () => Promise<void>;
  }>,
): Promise<void> {
  const { ports, stop } = await start(JSON.parse(process.argv[2] ?? '{}') as BareSettings);
  process.stdout.write(`${JSON.stringify(ports)}\n`);
  process.stdin.resume().once('end', () => {
    void (stop?.() ?? Promise.resolve()).finally(() => process.exit());
  });
}

/** Listens on any port of this machine, and answers which. */
export function listen(server: Server): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen({ port: 0, host: '127.0.0.1', backlog: 4_096 }, () =>
      resolve((server.address() as AddressInfo).port),
    );
  });
}

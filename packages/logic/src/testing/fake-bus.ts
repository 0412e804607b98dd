import { codec, protos } from '@halley/cluster/grpc/protos';
import type { Push__Output } from '@halley/cluster/grpc/gen/halley/delivery/v1/Push';
import type {
  Bus,
  BusConsumer,
  BusRecord,
  ConsumeOptions,
  ProduceOptions,
  ReadBatch,
  Written,
} from '@halley/store/bus/bus';

const records = codec(protos.halley.delivery.v1.Record);

/** A produce that waits for the test to decide it. */
export interface Produced {
  readonly topic: string;
  readonly records: readonly BusRecord[];
  readonly options: ProduceOptions | undefined;
  resolve(): void;
  reject(error: Error): void;
}

/** For tests: a bus in memory of which the test sees and decides each call. */
export class FakeBus implements Bus {
  readonly name = 'fake bus';
  readonly epoch = '1';
  readonly calls: Produced[] = [];
  readonly consumers: { options: ConsumeOptions; commits: [number, number][]; stopped: boolean }[] = [];
  /** What produce does at once: undefined waits for the test. */
  answer: ((record: BusRecord) => Error | 'ok') | undefined = () => 'ok';
  isHealthy = true;

  constructor(private readonly partitionCount = 24) {}

  async start(): Promise<void> {}
  async stop(): Promise<void> {}

  produce(topic: string, given: readonly BusRecord[], options?: ProduceOptions): Promise<Written[]> {
    return new Promise((resolve, reject) => {
      const written = given.map(({ partition }, offset) => ({ partition: partition ?? 0, offset }));
      this.calls.push({ topic, records: given, options, resolve: () => resolve(written), reject });
      if (!this.answer) return;
      const failed = given.map(this.answer).find((answer) => answer !== 'ok');
      if (failed) reject(failed);
      else resolve(written);
    });
  }

  async consume(options: ConsumeOptions): Promise<BusConsumer> {
    const state = { options, commits: [] as [number, number][], stopped: false };
    this.consumers.push(state);
    return {
      commit: async (_topic, partition, offset) => void state.commits.push([partition, offset]),
      seek: () => undefined,
      pause: () => undefined,
      resume: () => undefined,
      assigned: () => [],
      healthy: () => true,
      stop: async () => {
        state.stopped = true;
      },
    };
  }

  /** Hands a batch to a consumer as the bus would. */
  deliver(partition: number, values: readonly Uint8Array[], firstOffset = 0, consumer = 0): Promise<void> {
    const member = this.consumers[consumer];
    if (!member) throw new Error('nobody consumes');
    const batch: ReadBatch = {
      topic: member.options.topics[0] ?? '',
      partition,
      highWatermark: firstOffset + values.length,
      records: values.map((value, index) => ({
        offset: firstOffset + index,
        key: undefined,
        value,
        headers: {},
        timestampMs: 0,
      })),
    };
    return member.options.onBatch(batch);
  }

  /** Every push that was produced, in order. */
  pushes(): (Push__Output & { partition: number })[] {
    return this.calls.flatMap(({ records: given }) =>
      given.flatMap((record) =>
        records.decode(record.value).pushes.map((push) => ({ ...push, partition: record.partition ?? -1 })),
      ),
    );
  }

  partitions(): number {
    return this.partitionCount;
  }
  lag(): Promise<number> {
    return Promise.resolve(0);
  }
  lags(): Promise<ReadonlyMap<number, number>> {
    return Promise.resolve(new Map());
  }
  healthy(): boolean {
    return this.isHealthy;
  }
}

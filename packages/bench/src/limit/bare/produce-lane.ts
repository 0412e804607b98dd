import { packed, type PackedPush } from './packed.js';

/** One record: the pushes of a partition. */
export interface LaneRecord {
  readonly partition: number;
  readonly value: Buffer;
}

interface Waiting {
  readonly pushes: readonly PackedPush[];
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}

/** More wait for Kafka than anybody who waits for answers can have under way. */
const MAX_WAITING = 16_384;

/** Whatever came while the last request to Kafka was under way leaves with the next one, a record for each partition. */
export class ProduceLane {
  #waiting: Waiting[] = [];
  #isSending = false;

  constructor(
    private readonly partitions: number,
    private readonly send: (records: readonly LaneRecord[]) => Promise<unknown>,
  ) {}

  /** Resolves when Kafka has them; rejects when it may not, or too many wait. */
  add(pushes: readonly PackedPush[]): Promise<void> {
    if (this.#waiting.length >= MAX_WAITING) return Promise.reject(new Error('too many wait for Kafka'));
    return new Promise((resolve, reject) => {
      this.#waiting.push({ pushes, resolve, reject });
      if (!this.#isSending) void this.#flush();
    });
  }

  async #flush(): Promise<void> {
    this.#isSending = true;
    // Those of this turn of the loop too.
    await new Promise(setImmediate);
    while (this.#waiting.length > 0) {
      const taken = this.#waiting;
      this.#waiting = [];
      try {
        await this.send(this.#records(taken));
        for (const { resolve } of taken) resolve();
      } catch (error) {
        for (const { reject } of taken) reject(error as Error);
      }
    }
    this.#isSending = false;
  }

  #records(taken: readonly Waiting[]): LaneRecord[] {
    const lanes = new Map<number, PackedPush[]>();
    for (const { pushes } of taken)
      for (const push of pushes) {
        const partition = push.mid % this.partitions;
        const lane = lanes.get(partition);
        if (lane) lane.push(push);
        else lanes.set(partition, [push]);
      }
    return [...lanes].map(([partition, lane]) => ({ partition, value: packed(lane) }));
  }
}

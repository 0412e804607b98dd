import { HalleyError } from '@halley/protocol/error';
import type { BusRecord, Written } from './bus.js';

/** What one call has for one lane. */
export interface Part {
  readonly call: Call;
  readonly records: BusRecord[];
  readonly indices: number[];
  bytes: number;
}

/** One `produce`: gathers the outcomes of its parts into one honest answer. */
export class Call {
  parts = 0;
  readonly #written: Written[];
  #writtenParts = 0;
  #failure: HalleyError | undefined;

  constructor(
    records: number,
    readonly sinceMs: number,
    private readonly deadlineMs: number | undefined,
    private readonly waitUntilMs: number,
    private readonly resolve: (written: Written[]) => void,
    private readonly reject: (error: HalleyError) => void,
  ) {
    this.#written = Array.from<Written>({ length: records });
  }

  /** Why what still waits may not be sent any more, if so. */
  lateness(nowMs: number): HalleyError | undefined {
    if (this.deadlineMs !== undefined && this.deadlineMs <= nowMs)
      return new HalleyError('deadline_exceeded');
    if (this.waitUntilMs <= nowMs) {
      return new HalleyError('bus_refused', 'The bus took nothing in time; the record was never sent.');
    }
    return undefined;
  }

  /** `offsetOf` says where each record of the part is. */
  partWritten(part: Part, partition: number, offsetOf: (at: number) => number): void {
    part.indices.forEach((index, at) => {
      this.#written[index] = { partition, offset: offsetOf(at) };
    });
    this.#writtenParts += 1;
    this.#partEnded();
  }

  partFailed(error: HalleyError): void {
    if (this.#failure?.code !== 'bus_unknown') this.#failure = error;
    this.#partEnded();
  }

  #partEnded(): void {
    this.parts -= 1;
    if (this.parts > 0) return;
    if (!this.#failure) this.resolve(this.#written);
    else if (this.#writtenParts === 0) this.reject(this.#failure);
    else this.reject(new HalleyError('bus_unknown', undefined, { cause: this.#failure }));
  }
}

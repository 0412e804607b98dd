import type { Slot } from '../faults/fault.js';

/** What a process of the cluster took of the machine's memory, in MB. */
export interface MemoryUse {
  readonly node: string;
  readonly firstMb: number;
  readonly highestMb: number;
  readonly lastMb: number;
}

const EVERY_MS = 500;

/** Looks at the memory of processes again and again, from the start to `end`. */
export class MemoryWatch {
  readonly #uses = new Map<string, MemoryUse>();
  readonly #timer: NodeJS.Timeout;

  constructor(private readonly slots: readonly Slot[]) {
    this.#look();
    this.#timer = setInterval(() => this.#look(), EVERY_MS).unref();
  }

  end(): MemoryUse[] {
    clearInterval(this.#timer);
    this.#look();
    return [...this.#uses.values()];
  }

  #look(): void {
    for (const { name, memoryMb } of this.slots) {
      if (memoryMb === undefined) continue;
      const { firstMb, highestMb } = this.#uses.get(name) ?? { firstMb: memoryMb, highestMb: 0 };
      this.#uses.set(name, {
        node: name,
        firstMb,
        highestMb: Math.max(highestMb, memoryMb),
        lastMb: memoryMb,
      });
    }
  }
}

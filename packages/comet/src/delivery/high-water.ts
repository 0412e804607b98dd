/** How many bus epochs are remembered: the current one, and those that a late job may still have. */
const MAX_EPOCHS = 4;

/**
 * The highest position had of each (epoch, topic, partition). What is at or below was had: a job that replays, or a
 * second job that does not know yet that it lost its partition, shows nothing twice.
 */
export class HighWater {
  readonly #epochs = new Map<string, Map<string, number>>();

  /** Whether the position is new; if so it is the mark from now on. */
  advance(epoch: string, topic: string, partition: number, position: number): boolean {
    const marks = this.#marks(epoch);
    const name = `${topic}/${partition}`;
    if (position <= (marks.get(name) ?? -1)) return false;
    marks.set(name, position);
    return true;
  }

  /** The mark; undefined when nothing was had. */
  mark(epoch: string, topic: string, partition: number): number | undefined {
    return this.#epochs.get(epoch)?.get(`${topic}/${partition}`);
  }

  #marks(epoch: string): Map<string, number> {
    let marks = this.#epochs.get(epoch);
    if (!marks) {
      marks = new Map();
      this.#epochs.set(epoch, marks);
      for (const oldest of this.#epochs.keys()) {
        if (this.#epochs.size <= MAX_EPOCHS) break;
        this.#epochs.delete(oldest);
      }
    }
    return marks;
  }
}

/** Lets any number of waiters sleep until something changed; each looks again for itself when woken. */
export class Wakeup {
  #waiting: (() => void)[] = [];

  /** Resolves at the next {@link wake}, or after so many milliseconds. */
  wait(forMs = Infinity): Promise<void> {
    return new Promise((resolve) => {
      if (forMs === Infinity) {
        this.#waiting.push(resolve);
        return;
      }
      // Not by an aborted sleep: the error of an abort costs more than all the rest.
      const timer = setTimeout(woken, forMs);
      const waiting = this.#waiting;
      waiting.push(woken);
      function woken(): void {
        clearTimeout(timer);
        const at = waiting.indexOf(woken);
        if (at >= 0) waiting.splice(at, 1);
        resolve();
      }
    });
  }

  /** Wakes everyone who waits now. */
  wake(): void {
    if (this.#waiting.length === 0) return;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const resolve of waiting.slice()) resolve();
  }
}

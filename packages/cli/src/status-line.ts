/** A line on a terminal that is written over again and again; nothing where there is no terminal. */
export class StatusLine {
  #isShown = false;

  constructor(private readonly out: NodeJS.WriteStream = process.stdout) {}

  show(text: string): void {
    if (!this.out.isTTY) return;
    // A longer line would break, and its first part would stay.
    this.out.write(`\r\u001B[2K${text.slice(0, Math.max(1, this.out.columns - 1))}`);
    this.#isShown = true;
  }

  clear(): void {
    if (!this.#isShown) return;
    this.out.write('\r\u001B[2K');
    this.#isShown = false;
  }
}

import { endOf, GRACE_MS, MAX_RETRY_MS, refusal, type Requests } from './request.js';

/** Frames that come while a request runs are joined up to here, which is what any server takes. */
const JOINED_BYTES = 4_096;
/**
 * What may wait to be sent. The send queue, and that acknowledgements and heartbeats are few, keep it far below; a session
 * above it is of no use any more.
 */
const MAX_WAITING_BYTES = 16_777_216;

/**
 * What the client sends, as POSTs: one at a time, numbered from 1, each repeated under its number until it is known to have
 * arrived. So all of it arrives once and in order.
 */
export class Upstream {
  readonly #requests: Requests;
  readonly #failed: (text: string) => void;
  #waiting: Uint8Array[] = [];
  #waitingBytes = 0;
  #number = 0;
  #running: Promise<void> | undefined;
  #dead = false;

  /** `failed`: nothing more can be sent. */
  constructor(requests: Requests, failed: (text: string) => void) {
    this.#requests = requests;
    this.#failed = failed;
  }

  /** Whole frames. */
  push(frames: Uint8Array): void {
    if (this.#dead) return;
    this.#waiting.push(frames);
    this.#waitingBytes += frames.length;
    if (this.#waitingBytes > MAX_WAITING_BYTES) this.#fail('Too much waits to be sent.');
    else this.#running ??= this.#run();
  }

  /** Done when everything was sent, or nothing more can be. */
  async drained(): Promise<void> {
    await this.#running;
  }

  async #run(): Promise<void> {
    // Those of the same turn go together.
    await Promise.resolve();
    while (this.#waiting.length > 0 && !this.#dead && !this.#requests.ended) {
      this.#number += 1;
      await this.#post(this.#number, this.#take());
    }
    this.#running = undefined;
  }

  #take(): Uint8Array<ArrayBuffer> {
    let count = 0;
    let bytes = 0;
    for (const { length } of this.#waiting) {
      if (count > 0 && bytes + length > JOINED_BYTES) break;
      count += 1;
      bytes += length;
    }
    const body = new Uint8Array(bytes);
    let at = 0;
    for (const frames of this.#waiting.splice(0, count)) {
      body.set(frames, at);
      at += frames.length;
    }
    this.#waitingBytes -= bytes;
    return body;
  }

  async #post(number: number, body: Uint8Array<ArrayBuffer>): Promise<void> {
    const { clock } = this.#requests;
    let failingMs: number | undefined;
    const headers = { 'Content-Type': 'application/octet-stream' };
    for (let attempt = 0; !this.#requests.ended; attempt += 1) {
      try {
        const init = { method: 'POST', headers, body };
        return await this.#requests.ask(`/send?n=${number}`, init, async (response) => {
          if (response.status !== 204) this.#fail((await refusal(response)).text);
        });
      } catch (error) {
        failingMs ??= clock.now();
        if (clock.now() - failingMs >= GRACE_MS) return this.#fail(endOf(error).text);
        await this.#requests.pause(attempt, MAX_RETRY_MS);
      }
    }
  }

  #fail(text: string): void {
    if (this.#dead) return;
    this.#dead = true;
    this.#waiting = [];
    this.#failed(text);
  }
}

import { inflateOnStream, isDeflated } from '@halley/protocol/client/compression';
import { FrameDecoder } from '@halley/protocol/decoder';
import type { Frame } from '@halley/protocol/frame';

/** Makes frames of bytes, in order also where bodies have to be inflated, which takes turns of the loop. */
export class Inbound {
  readonly #decoder: FrameDecoder;
  readonly #maxBodyBytes: number;
  readonly #take: (frame: Frame) => void;
  readonly #fault: (error: unknown) => void;
  readonly #waiting: Frame[] = [];
  #inflating = false;

  /** `fault`: the bytes are no good; nothing more is to be pushed. */
  constructor(maxBodyBytes: number, take: (frame: Frame) => void, fault: (error: unknown) => void) {
    this.#decoder = new FrameDecoder({ version2: true, maxBodyBytes });
    this.#maxBodyBytes = maxBodyBytes;
    this.#take = take;
    this.#fault = fault;
  }

  push(bytes: Uint8Array): void {
    try {
      this.#decoder.push(bytes, this.#waiting);
    } catch (error) {
      this.#goOn();
      this.#fault(error);
    }
    this.#goOn();
  }

  #goOn(): void {
    while (!this.#inflating) {
      const frame = this.#waiting.shift();
      if (!frame) return;
      if (isDeflated(frame)) this.#inflate(frame);
      else this.#take(frame);
    }
  }

  #inflate(frame: Frame): void {
    this.#inflating = true;
    inflateOnStream(frame.body, this.#maxBodyBytes)
      .then((body) => {
        this.#inflating = false;
        this.#take({ ...frame, body, flags: 0 });
        this.#goOn();
      })
      .catch(this.#fault);
  }
}

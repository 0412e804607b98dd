import { Ack } from '@halley/protocol/client/bodies';
import { OperationV2 } from '@halley/protocol/operation';

import type { Clock } from '../clock.js';
import type { Link } from '../connection/link.js';
import { inParts } from '../connection/parts.js';
import type { StreamCursor } from './continue.js';

/** What of a stream is handled and was not acknowledged yet. */
interface Due extends StreamCursor {
  readonly entries: number;
  readonly bytes: number;
}

/** Acknowledges over one link what was sent over it: when half a window is handled, else after a while, together. */
export class Acks {
  readonly #link: Link;
  readonly #clock: Clock;
  readonly #afterMs: number;
  readonly #due = new Map<string, Due>();
  #cancelTimer: (() => void) | undefined;

  constructor(link: Link, clock: Clock, afterMs: number) {
    this.#link = link;
    this.#clock = clock;
    this.#afterMs = afterMs;
  }

  /** A frame's entries are handled, and its end is saved. */
  handled(stream: string, { epoch, position }: StreamCursor, entries: number, bytes: number): void {
    const before = this.#due.get(stream);
    const due = {
      epoch,
      position,
      entries: entries + (before?.entries ?? 0),
      bytes: bytes + (before?.bytes ?? 0),
    };
    this.#due.set(stream, due);
    const { windowEntries = 0, windowBytes = 0 } = this.#link.auth ?? {};
    if (2 * due.entries >= windowEntries || 2 * due.bytes >= windowBytes) this.flush();
    else this.#cancelTimer ??= this.#clock.after(this.#afterMs, () => this.flush());
  }

  flush(): void {
    this.stop();
    if (this.#due.size === 0) return;
    const cursors = [...this.#due].map(([stream, { epoch, position }]) => ({ stream, epoch, position }));
    this.#due.clear();
    for (const part of inParts(cursors, this.#link.maxBodyBytes, (some) => Ack.encode({ cursors: some }))) {
      this.#link.send(OperationV2.Ack, Ack, { cursors: part });
    }
  }

  stop(): void {
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
  }
}

import { BEFORE_ALL, type Position } from '@halley/store/streams/streams';
import { Sequencer } from '@halley/comet/delivery/sequencer';

import type { Push } from './bus.js';
import type { Hint } from './hints.js';
import { Read, type Page } from './reader.js';
import type { World } from './world.js';

/** What a client gets: an entry, or a gap that is declared. */
export type Frame =
  | { readonly position: Position; readonly push: Push }
  | { readonly position: Position; readonly push: undefined };

const MAX_OUTBOX = 3;
const WINDOW = 6;

/** One device's connection on a comet, which follows its user's stream. The sequencer is the one that comet runs. */
export class Connection {
  readonly sequencer: Sequencer;
  readonly outbox: Frame[] = [];
  /** Frames since the client's last acknowledgement. */
  unacknowledged = 0;
  /** The client went away, and the comet doesn't know. */
  abandoned = false;
  reading: Read | undefined;
  /** Reads that were given up. */
  readonly late: Read[] = [];
  /** The last position sent. */
  sent: Position;

  constructor(
    private readonly world: World,
    readonly device: number,
    readonly stream: number,
    readonly owner: number,
    readonly cursor: Position,
  ) {
    this.sequencer = new Sequencer(cursor);
    this.sent = cursor;
  }

  hint({ position, prev, push }: Hint): void {
    const { sequencer } = this;
    const before = sequencer.last;
    if (prev === undefined) {
      sequencer.renewed(position);
      return;
    }
    const room = this.outbox.length < MAX_OUTBOX && this.unacknowledged < WINDOW;
    const shown = this.world.faults.skipPrev ? BEFORE_ALL : prev;
    if (sequencer.hint(position, shown, push !== undefined && room) !== 'send') return;
    this.#send(position, push!);
    this.world.check.advanced(this, before, [position], undefined);
  }

  /** A renewal told the stream's newest position. */
  renewed(newest: Position | undefined): void {
    if (newest !== undefined && !this.world.faults.skipRenewed) this.sequencer.renewed(newest);
  }

  /** Goes one step on with a read, when one is due and there is room for it. Answers whether there was anything to do. */
  pull(): boolean {
    if (!this.reading) {
      if (this.sequencer.live || this.outbox.length > 0 || this.unacknowledged >= WINDOW) return false;
      this.reading = new Read(this.world, this.stream, this.sequencer.last);
    }
    const { page } = this.reading;
    if (page) {
      this.reading = undefined;
      this.page(page);
    } else if (!this.reading.step()) {
      this.reading = undefined;
    }
    return true;
  }

  /** Gives a read up that was just begun or is under way; logic goes on with it all the same. */
  giveUpRead(): void {
    if (!this.reading) this.pull();
    if (this.reading) this.late.push(this.reading);
    this.reading = undefined;
  }

  /** The answer to a read comes that was given up. */
  lateAnswer(): void {
    const read = this.late.shift();
    if (!read) return;
    while (!read.page && read.step());
    if (read.page) this.page(read.page);
  }

  page(page: Page): void {
    const { sequencer, world } = this;
    const before = sequencer.last;
    const taken = world.faults.skipThrough
      ? { ...page, more: false, through: Math.max(page.through, sequencer.want) }
      : page;
    const { gap, first } = sequencer.page(taken);
    if (gap) this.#frame({ position: gap.through, push: undefined });
    const sent = page.entries.slice(world.faults.sendWholePages ? 0 : first);
    for (const { position, push } of sent) this.#send(position, push);
    world.check.advanced(
      this,
      before,
      sent.map(({ position }) => position),
      gap,
      page.leftOut.map(({ position }) => position),
    );
  }

  /** An entry whose turn it is; what is for other devices passes silently. */
  #send(position: Position, push: Push): void {
    if (push.only !== undefined && push.only !== this.device && !this.world.faults.skipFilter) return;
    this.#frame({ position, push });
  }

  #frame(frame: Frame): void {
    this.world.check.sent(this, frame);
    this.sent = frame.position;
    this.unacknowledged += 1;
    this.outbox.push(frame);
  }
}

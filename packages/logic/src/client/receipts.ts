import { Receipts, type ReadPosition } from '@halley/protocol/client/bodies';
import { HalleyError } from '@halley/protocol/error';
import type { MessageId } from '@halley/protocol/ids';
import { OperationV2 } from '@halley/protocol/operation';
import { matchesRoom } from '@halley/protocol/room-pattern';
import type { Clock } from '@halley/service/clock';
import type { Logger } from '@halley/service/log';
import type { Routes } from '@halley/store/routes/routes';
import { BEFORE_ALL } from '@halley/store/streams/streams';
import { v7 as uuidv7 } from 'uuid';

import type { ClientEvents } from '../hooks/client-events.js';
import type { PushAcceptor } from '../push/accept.js';
import { invalid, type Target } from '../push/target.js';
import { ANONYMOUS, type Asker, CLIENT_CALLER } from './asker.js';
import type { ReadMarks } from './read-marks.js';
import { checkStream, roomOf } from './stream.js';

export interface ReceiptTakerDeps {
  readonly marks: Pick<ReadMarks, 'advance'>;
  readonly routes: Pick<Routes, 'find'>;
  readonly acceptor: Pick<PushAcceptor, 'accept'>;
  /** Patterns of rooms whose members are told how far each other has read. */
  readonly receiptRooms: readonly string[];
  readonly clock: Clock;
  readonly log: Logger;
  /** Told what moved. Default: nobody. */
  readonly events?: Pick<ClientEvents, 'read'>;
}

/** Streams of one request. */
const MAX_POSITIONS = 100;
/** News that are older are told by what is asked next. */
const NEWS_LIFETIME_MS = 60_000;

/** Takes up to where users have read (31), and tells their other devices. */
export class ReceiptTaker {
  constructor(private readonly deps: ReceiptTakerDeps) {}

  /** Answers how the streams stand now. Throws `invalid_argument`, `limit_exceeded`, `store_unavailable`. */
  async take({ positions }: Receipts, from: Asker): Promise<readonly ReadPosition[]> {
    if (from.mid === ANONYMOUS) throw invalid('positions', 'nothing is kept of anonymous users');
    if (positions.length > MAX_POSITIONS) {
      throw new HalleyError('limit_exceeded', `positions: ${positions.length}, more than ${MAX_POSITIONS}`);
    }
    for (const [index, { stream, position }] of positions.entries()) {
      checkStream(stream, from, `positions[${index}].stream`);
      if (position < BEFORE_ALL) throw invalid(`positions[${index}].position`, `${position} is no position`);
    }
    const { now, moved } = await this.deps.marks.advance(from.mid, positions);
    if (moved.length > 0) {
      this.deps.events?.read(from, moved);
      this.#tellLater(moved, from);
    }
    return now;
  }

  /** A device that misses it asks when it connects again, or is answered with its own next receipt. */
  #tellLater(moved: readonly ReadPosition[], from: Asker): void {
    this.#tell(moved, from).catch((error: unknown) => {
      this.deps.log.debug({ err: error }, 'devices were not told how far their user has read');
    });
  }

  async #tell(moved: readonly ReadPosition[], from: Asker): Promise<void> {
    await this.#tellRooms(moved, from);
    const { mid, key } = from;
    const devices = (await this.deps.routes.find({ users: [mid] })).users.get(mid) ?? [];
    const others = devices.filter((device) => device.key !== key).map((device) => device.key);
    if (others.length > 0) await this.#push({ kind: 'keys', keys: others }, moved, from);
  }

  /** Members of a room learn whose it is, and nothing of what is unread. */
  async #tellRooms(moved: readonly ReadPosition[], from: Asker): Promise<void> {
    const { receiptRooms } = this.deps;
    for (const position of moved) {
      const room = roomOf(position.stream);
      if (room === undefined || !receiptRooms.some((pattern) => matchesRoom(room, pattern))) continue;
      await this.#push({ kind: 'room', room }, [{ ...position, mid: from.mid, unread: undefined }], from);
    }
  }

  async #push(
    target: Target,
    positions: readonly ReadPosition[],
    { mid, key, traceparent }: Asker,
  ): Promise<void> {
    const { acceptor, clock } = this.deps;
    const told = Receipts.encode({ positions });
    const push = {
      id: uuidv7() as MessageId,
      target,
      operation: OperationV2.Receipts,
      body: Buffer.from(told.buffer, told.byteOffset, told.byteLength),
      durable: false,
      expireAtMs: clock.now() + NEWS_LIFETIME_MS,
      control: true,
    } as const;
    await acceptor.accept(push, {
      lane: `client ${mid} ${key}`,
      caller: CLIENT_CALLER,
      traceparent,
    });
  }
}

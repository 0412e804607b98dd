import { Ephemeral } from '@halley/protocol/client/bodies';
import { HalleyError } from '@halley/protocol/error';
import type { MessageId, RoomId } from '@halley/protocol/ids';
import { OperationV2 } from '@halley/protocol/operation';
import type { Clock } from '@halley/service/clock';
import { v7 as uuidv7 } from 'uuid';

import type { PushAcceptor } from '../push/accept.js';
import { invalid } from '../push/target.js';
import { type Asker, CLIENT_CALLER } from './asker.js';
import { checkOneTarget, checkOperation } from './target.js';

export interface EphemeralSenderDeps {
  readonly acceptor: Pick<PushAcceptor, 'accept'>;
  readonly clock: Clock;
}

const MAX_BODY_BYTES = 1_024;
/** What comes later than this is not shown any more, beside the time that the client gives it. */
const LATE_MS = 10_000;

/** Takes what is worth nothing later (32): to the connections with version 2 of a room or a user, never kept. */
export class EphemeralSender {
  constructor(private readonly deps: EphemeralSenderDeps) {}

  /** Throws `invalid_argument`, `body_too_large`, and what {@link PushAcceptor.accept} throws. */
  async send(request: Ephemeral, { mid, key, deadlineMs, traceparent }: Asker): Promise<void> {
    const { room, toMid, operation, body, ttlMs } = request;
    checkOneTarget(room, toMid);
    checkOperation(operation);
    if (ttlMs < 0) throw invalid('ttl_ms', 'must not be negative');
    if (body.length > MAX_BODY_BYTES) {
      throw new HalleyError('body_too_large', `body: ${body.length} bytes, more than ${MAX_BODY_BYTES}`);
    }
    const told = Ephemeral.encode({ room, toMid, operation, body, ttlMs, fromMid: mid, fromKey: key });
    await this.deps.acceptor.accept(
      {
        id: uuidv7() as MessageId,
        target: room === '' ? { kind: 'users', users: [toMid] } : { kind: 'room', room: room as RoomId },
        operation: OperationV2.Ephemeral,
        body: Buffer.from(told.buffer, told.byteOffset, told.byteLength),
        durable: false,
        expireAtMs: this.deps.clock.now() + LATE_MS + ttlMs,
        sender: { mid, key, clientId: '', toMid },
        control: true,
      },
      { lane: `client ${mid} ${key}`, caller: CLIENT_CALLER, traceparent, deadlineMs },
    );
  }
}

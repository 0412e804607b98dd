import type { Clock } from '@halley/service/clock';
import type { Logger } from '@halley/service/log';
import type { Routes } from '@halley/store/routes/routes';
import type { Streams } from '@halley/store/streams/streams';

import type { ClientEvents } from '../hooks/client-events.js';
import type { SendHook } from '../hooks/send-hook.js';
import type { LogicMetrics } from '../metrics.js';
import type { PushAcceptor } from '../push/accept.js';
import type { PushLimits } from '../push/target.js';
import type { HistoryReader } from '../streams/history.js';
import type { UpstreamWriter } from '../upstream/receive.js';
import { ClientAsks } from './ask.js';
import { EphemeralSender } from './ephemeral.js';
import { ClientHistory } from './history.js';
import type { ReadMarks } from './read-marks.js';
import { ReceiptTaker } from './receipts.js';
import { ClientSender } from './send.js';

/** What connections with version 2 are served with. */
export interface ClientDeps {
  readonly acceptor: Pick<PushAcceptor, 'accept'>;
  readonly upstream: Pick<UpstreamWriter, 'receive'>;
  readonly streams: Pick<Streams, 'appliedAt'>;
  readonly routes: Pick<Routes, 'find'>;
  readonly history: Pick<HistoryReader, 'read'>;
  readonly marks: Pick<ReadMarks, 'advance'>;
  /** Patterns of rooms whose members are told how far each other has read. */
  readonly receiptRooms: readonly string[];
  readonly limits: Pick<PushLimits, 'maxBodyBytes' | 'durability'>;
  /** The bus's epoch now. */
  readonly epoch: () => string;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: LogicMetrics;
  readonly events: ClientEvents;
  readonly hook: SendHook;
}

/** Puts together what answers the requests of connections with version 2. */
export function clientAsks(deps: ClientDeps): ClientAsks {
  return new ClientAsks({
    ...deps,
    sender: new ClientSender({ ...deps, ...deps.limits }),
    history: new ClientHistory(deps),
    receipts: new ReceiptTaker(deps),
    ephemeral: new EphemeralSender(deps),
  });
}

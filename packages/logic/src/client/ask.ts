import {
  Ephemeral,
  HistoryReply,
  HistoryRequest,
  Receipts,
  SendReply,
  SendRequest,
} from '@halley/protocol/client/bodies';
import { HalleyError } from '@halley/protocol/error';
import { OperationV2 } from '@halley/protocol/operation';
import type { Clock } from '@halley/service/clock';

import type { LogicMetrics } from '../metrics.js';
import { outcomeOf } from '../push/outcome.js';
import type { Asker } from './asker.js';
import type { EphemeralSender } from './ephemeral.js';
import type { ClientHistory } from './history.js';
import type { ReceiptTaker } from './receipts.js';
import type { ClientSender } from './send.js';

export interface ClientAsksDeps {
  readonly sender: Pick<ClientSender, 'send'>;
  readonly history: Pick<ClientHistory, 'read'>;
  readonly receipts: Pick<ReceiptTaker, 'take'>;
  readonly ephemeral: Pick<EphemeralSender, 'send'>;
  readonly clock: Clock;
  readonly metrics: LogicMetrics;
}

/** Metrics name operations so. */
const NAMES: Readonly<Record<number, string>> = {
  [OperationV2.Send]: 'send',
  [OperationV2.History]: 'history',
  [OperationV2.Receipts]: 'receipts',
  [OperationV2.Ephemeral]: 'ephemeral',
};

/** What connections with version 2 ask of logic: a message of halley.client.v1 in, one out. */
export class ClientAsks {
  constructor(private readonly deps: ClientAsksDeps) {}

  /** The body of the answer; empty where there is none. Throws `unsupported_operation`, `bad_frame`, and what the parts do. */
  async answer(operation: number, body: Uint8Array, from: Asker): Promise<Uint8Array> {
    const { clock, metrics } = this.deps;
    const name = NAMES[operation];
    if (!name) throw new HalleyError('unsupported_operation');
    const since = clock.monotonicMs();
    let error: HalleyError | undefined;
    try {
      return await this.#answer(operation, body, from);
    } catch (thrown) {
      error = HalleyError.from(thrown);
      throw error;
    } finally {
      metrics.asks.inc({ operation: name, outcome: outcomeOf(error) });
      metrics.askSeconds.observe({ operation: name }, (clock.monotonicMs() - since) / 1_000);
    }
  }

  async #answer(operation: number, body: Uint8Array, from: Asker): Promise<Uint8Array> {
    const { sender, history, receipts, ephemeral } = this.deps;
    switch (operation) {
      case OperationV2.Send:
        return SendReply.encode(await sender.send(SendRequest.decode(body), from));
      case OperationV2.History:
        return HistoryReply.encode(await history.read(HistoryRequest.decode(body), from));
      case OperationV2.Receipts:
        return Receipts.encode({ positions: await receipts.take(Receipts.decode(body), from) });
      case OperationV2.Ephemeral:
        await ephemeral.send(Ephemeral.decode(body), from);
        return new Uint8Array(0);
      default:
        throw new HalleyError('unsupported_operation');
    }
  }
}

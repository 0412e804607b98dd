import { HistoryOrder, HistoryReply, HistoryRequest } from '@halley/protocol/client/bodies';
import { OperationV2 } from '@halley/protocol/operation';

import { ClientError } from '../client-error.js';
import type { Calls } from '../connection/calls.js';
import { messageOf, type StreamMessage } from '../streams/message.js';

/** Which messages of a stream, and in what order. */
export interface HistoryQuery {
  /** Default `newest first`. */
  readonly order?: 'newest first' | 'oldest first';
  /** Only messages above this position, and below that one; of `epoch`, which is needed with them. */
  readonly after?: number;
  readonly before?: number;
  readonly epoch?: string;
  /** Only messages accepted at or after this time, and before that one, Unix milliseconds. */
  readonly fromMs?: number;
  readonly toMs?: number;
  /** Messages that are asked for at once. Default 50, sane 10 to 1,000. */
  readonly pageSize?: number;
}

/**
 * The messages of a stream, page by page as they are taken. Reading moves no cursor. Throws ClientError: `epoch_changed` when
 * the stream was begun anew meanwhile, what the server said, or `timed_out`.
 */
export async function* history(
  calls: Calls,
  stream: string,
  query: HistoryQuery = {},
): AsyncGenerator<StreamMessage, void, undefined> {
  const { order: wanted = 'newest first', pageSize = 50, ...bounds } = query;
  const newestFirst = wanted === 'newest first';
  const order = newestFirst ? HistoryOrder.NewestFirst : HistoryOrder.OldestFirst;
  let { after, before, epoch = '' } = query;
  for (let more = true; more;) {
    const asked = { ...bounds, stream, order, limit: pageSize, after, before, epoch };
    const page = await calls.ask(OperationV2.History, HistoryRequest, asked, HistoryReply);
    if (epoch !== '' && page.epoch !== epoch) {
      throw new ClientError('epoch_changed', `${stream} was begun anew.`);
    }
    ({ epoch } = page);
    for (const entry of page.entries) yield messageOf(entry, { stream, epoch });
    const last = page.entries.at(-1)?.position;
    more = page.more && last !== undefined;
    if (newestFirst) before = last;
    else after = last;
  }
}

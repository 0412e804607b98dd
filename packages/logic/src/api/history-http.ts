import { parseInt32, parseInt64 } from '../int64.js';
import { invalid } from '../push/target.js';
import type { HistoryPage, HistoryReader } from '../streams/history.js';
import { type RawHistoryAsk, readHistoryAsk, roomStream, userStream } from './history-ask.js';
import type { V1Endpoint } from './v1-http.js';

export interface HistoryHttpDeps {
  readonly history: HistoryReader;
  /** The bus's epoch now. */
  readonly epoch: () => string;
}

const PAGE_FIELDS = ['order', 'after', 'before', 'epoch', 'from_ms', 'to_ms', 'limit'];

/** `GET /v1/history/…`: what HistoryService answers, as JSON; bodies are base64. */
export function historyHttp({ history, epoch }: HistoryHttpDeps): readonly V1Endpoint[] {
  const read = async (stream: string, fields: Fields): Promise<string> =>
    JSON.stringify(jsonOf(await history.read(readHistoryAsk(fields.ask(stream), epoch()))));
  return [
    {
      path: '/v1/history/users/:mid',
      scope: 'history',
      answer: async ({ params, query }) => {
        const mid = parseInt64(params['mid'] ?? '');
        if (mid === undefined) throw invalid('mid', `${shown(params['mid'] ?? '')} is not a 64-bit integer`);
        return read(userStream(mid), new Fields(query, PAGE_FIELDS));
      },
    },
    {
      path: '/v1/history/rooms',
      scope: 'history',
      answer: async ({ query }) => {
        const fields = new Fields(query, ['room', ...PAGE_FIELDS]);
        return read(roomStream(fields.text('room') ?? ''), fields);
      },
    },
  ];
}

/** The query of a question. What is not known, or stands twice, is refused: it would be missing unnoticed. */
class Fields {
  readonly #fields: URLSearchParams;

  constructor(query: string, known: readonly string[]) {
    this.#fields = new URLSearchParams(query);
    for (const name of this.#fields.keys()) {
      if (!known.includes(name))
        throw invalid(shown(name), `there is no such field; there are ${known.join(', ')}`);
      if (this.#fields.getAll(name).length > 1) throw invalid(name, 'stands more than once');
    }
  }

  text(name: string): string | undefined {
    return this.#fields.get(name) ?? undefined;
  }

  ask(stream: string): RawHistoryAsk {
    return {
      stream,
      direction: this.#direction(),
      after: this.#int64('after'),
      before: this.#int64('before'),
      epoch: this.text('epoch') ?? '',
      fromMs: this.#int64('from_ms') ?? '0',
      toMs: this.#int64('to_ms') ?? '0',
      limit: this.#limit(),
    };
  }

  #direction(): RawHistoryAsk['direction'] {
    const order = this.text('order') ?? 'newest';
    if (order === 'newest') return 'backward';
    if (order === 'oldest') return 'forward';
    throw invalid('order', `${shown(order)} is neither newest nor oldest`);
  }

  #limit(): number {
    const text = this.text('limit') ?? '0';
    const limit = parseInt32(text);
    if (limit === undefined) throw invalid('limit', `${shown(text)} is not a 32-bit integer`);
    return limit;
  }

  #int64(name: string): string | undefined {
    const text = this.text(name);
    if (text === undefined) return undefined;
    const value = parseInt64(text);
    if (value === undefined) throw invalid(name, `${shown(text)} is not a 64-bit integer`);
    return value;
  }
}

function jsonOf({ epoch, entries, more }: HistoryPage) {
  return {
    epoch,
    entries: entries.map((entry) => ({
      position: entry.position,
      id: entry.id,
      operation: entry.operation,
      body: Buffer.from(entry.body).toString('base64'),
      keys: entry.keys,
      accepted_at_ms: entry.acceptedAtMs,
      expire_at_ms: entry.expireAtMs,
      caller: entry.caller,
      ...(entry.sender && {
        from_mid: entry.sender.mid,
        from_key: entry.sender.key,
        client_id: entry.sender.clientId,
        to_mid: entry.sender.toMid,
      }),
    })),
    more,
  };
}

function shown(text: string): string {
  return JSON.stringify(text.length > 40 ? `${text.slice(0, 40)}…` : text);
}

import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { CloseCode } from '@halley/protocol/close-code';
import { HalleyError } from '@halley/protocol/error';
import type { ConnectionKey } from '@halley/protocol/ids';

import type { Delivered } from '../delivery/deliverer.js';
import { CometHarness, until } from '../testing/harness.js';
import { frame, type TcpClient, type WsClient } from '../testing/test-client.js';
import type { Follower } from './follower.js';

const STREAM = 'u/1';
const token = (key?: string): object => ({ mid: 1, accepts: [5], ...(key ? { key } : {}) });

let harness: CometHarness;
beforeEach(async () => {
  // Renewals, which make up for every hint that is lost, come when they are called for.
  harness = await CometHarness.start({
    renewal: { intervalMs: 3_600_000, roundMs: 3_600_000, figuresMs: 3_600_000 },
  });
});
afterEach(() => harness.stop());

const append = (fields: Parameters<CometHarness['logic']['streams']['append']>[1] = {}): Delivered =>
  harness.logic.streams.append(STREAM, fields);
const tell = (...hints: Delivered[]): void => {
  for (const hint of hints)
    harness.comet.deliverer.deliver({ epoch: harness.logic.streams.epoch, topic: 't', partition: 0 }, hint);
};
const withoutBody = (hint: Delivered): Delivered => ({ ...hint, body: Buffer.alloc(0), withoutBody: true });
const inboxOf = (key: string): Follower => {
  const inbox = harness.comet.table.get(key as ConnectionKey)?.inbox;
  if (!inbox) throw new Error(`${key} has no inbox`);
  return inbox;
};
const hints = (result: string): Promise<number> =>
  harness.metric('halley_comet_stream_hints_total', { result });
/** What the client has been sent is all there is: an echo comes behind it. */
const rest = async (client: TcpClient | WsClient): Promise<string[]> => {
  client.send(frame(1_000));
  const texts: string[] = [];
  for (;;) {
    const { op, body } = await client.next();
    if (op === 1_000) return texts;
    texts.push(Buffer.from(body).toString());
  }
};

describe('the stream of a connection', () => {
  test('at its end is not read; what is told of it is sent as it comes, to all devices', async () => {
    append();
    const clients = [
      await harness.tcpOf(token()),
      await harness.wsOf(token('k')),
      await harness.tcpOf(token()),
    ];
    tell(append(), append());
    for (const client of clients) expect(await client.texts(2)).toEqual(['5:1', '5:2']);
    expect(harness.logic.streams.calls).toEqual([]);
    expect(await hints('send')).toBe(6);
  });

  test('is sent what is told again, or by two jobs, once', async () => {
    const client = await harness.tcpOf(token());
    const [first, second] = [append(), append()];
    tell(first, second, first, second, first);
    expect(await rest(client)).toEqual(['0', '1']);
    expect(await hints('drop')).toBe(3);
  });

  // The planted fault: a comet that ignores `prev` shows 2 without 1.
  test('is read where something before what is told is missing', async () => {
    const client = await harness.tcpOf(token());
    tell(append());
    append();
    tell(append(), append());
    expect(await client.texts(4)).toEqual(['5:0', '5:1', '5:2', '5:3']);
    tell(append());
    expect(await client.texts(1)).toEqual(['5:4']);
    expect(harness.logic.streams.calls).toHaveLength(1);
  });

  test('is read where the body was left out', async () => {
    const client = await harness.tcpOf(token());
    tell(withoutBody(append()));
    expect(await client.texts(1)).toEqual(['5:0']);
    tell(append());
    expect(await client.texts(1)).toEqual(['5:1']);
    expect(harness.logic.streams.calls).toHaveLength(1);
  });

  test('goes on silently over what is for other devices, is not accepted or is too late, told or read', async () => {
    const client = await harness.tcpOf(token('k'));
    const some = (): Delivered[] => [
      append({ keys: ['other'] }),
      append({ operation: 6 }),
      append({ expireAtMs: Date.now() - 1 }),
      append({ keys: ['other', 'k'] }),
    ];
    tell(...some());
    expect(await client.texts(1)).toEqual(['5:3']);
    expect(harness.logic.streams.calls).toEqual([]);
    const later = some();
    tell(withoutBody(later.at(-1) as Delivered));
    expect(await client.texts(1)).toEqual(['5:7']);
    expect(await rest(client)).toEqual([]);
    expect(inboxOf('k').last).toBe(7);
  });

  test('told of together with a room goes to each once, whichever had it first', async () => {
    const client = await harness.tcpOf({ ...token(), room_id: 'r' });
    const both = (hint: Delivered): Delivered => ({ ...hint, rooms: ['r'] });
    const [first, second] = [append(), append()];
    tell({ ...both(second), streams: [] }, both(second), first);
    expect(await client.texts(3)).toEqual(['5:1', '5:0', '5:1']);
    expect(await rest(client)).toEqual([]);
  });

  test('of who is anonymous there is none', async () => {
    const client = await harness.tcpOf({ mid: 0, key: 'k', accepts: [5] });
    const { deliverer, streams } = harness.comet;
    expect(streams.size).toBe(0);
    deliverer.deliver({ epoch: 'e1', topic: 't', partition: 0 }, { ...append(), streams: [], keys: ['k'] });
    expect(await client.texts(1)).toEqual(['5:0']);
  });

  test('ends with its connection', async () => {
    const clients = [
      await harness.tcpOf(token()),
      await harness.tcpOf(token()),
      await harness.tcpOf(token()),
    ];
    clients[1]?.close();
    await until(() => harness.comet.table.size === 2);
    tell(append());
    for (const client of [clients[0], clients[2]]) expect(await client?.texts(1)).toEqual(['5:0']);
    clients[0]?.close();
    clients[2]?.close();
    await until(() => harness.comet.streams.size === 0);
  });
});

describe('a hint that comes ahead of the end of the handshake', () => {
  test('makes the stream be read', async () => {
    let enter = (): void => undefined;
    const gate = new Promise<{ durable: boolean }>((resolve) => {
      enter = () => resolve({ durable: false });
    });
    harness.logic.enterRoom = () => gate;
    const client = await harness.tcp();
    client.send(frame(7, JSON.stringify({ ...token(), room_id: 'r' })));
    await until(() => harness.logic.calls.includes('connect'));
    await new Promise((resolve) => setImmediate(resolve));
    tell(append());
    enter();
    expect(await client.texts(2)).toEqual(['8:', '5:0']);
  });

  test('may have been one that a job lost, which comes again', async () => {
    harness.comet.onJob();
    await harness.tcpOf(token());
    await until(() => harness.logic.streams.calls.length > 0);
    expect(harness.logic.streams.calls).toHaveLength(1);
  });
});

describe('a renewal', () => {
  test('that tells of something newer makes the stream be read', async () => {
    const client = await harness.tcpOf(token());
    append();
    harness.comet.renewal.tick();
    expect(await client.texts(1)).toEqual(['5:0']);
    await harness.comet.renewal.settled();
    harness.comet.renewal.tick();
    await harness.comet.renewal.settled();
    expect(harness.logic.streams.calls).toHaveLength(1);
  });

  test('after the route store was lost makes every stream be read, whatever it tells', async () => {
    const client = await harness.tcpOf(token());
    harness.comet.renewal.tick();
    await harness.comet.renewal.settled();
    append();
    harness.logic.streams.newest = () => -1;
    harness.logic.generation = 'g2';
    harness.comet.renewal.tick();
    expect(await client.texts(1)).toEqual(['5:0']);
  });

  test('asks for all soon when a job begins to deliver', async () => {
    const clients = await Promise.all(Array.from({ length: 10 }, () => harness.tcpOf(token())));
    append();
    harness.comet.onJob();
    harness.comet.renewal.tick();
    for (const client of clients) expect(await client.texts(1)).toEqual(['5:0']);
    expect(harness.logic.streams.calls).toHaveLength(1);
  });
});

test('a suspicion that comes while the stream is read makes it be read once more', async () => {
  const client = await harness.tcpOf(token('k'));
  const hint = withoutBody(append());
  let carryOut = (): void => undefined;
  const read = harness.logic.read.bind(harness.logic);
  harness.logic.read = async (reads) => {
    const pages = await read(reads);
    await new Promise<void>((resolve) => (carryOut = resolve));
    return pages;
  };
  tell(hint);
  await until(() => harness.logic.streams.calls.length === 1);
  append();
  harness.logic.read = read;
  inboxOf('k').suspect();
  carryOut();
  expect(await client.texts(2)).toEqual(['5:0', '5:1']);
});

describe('what comes while the stream is read', () => {
  /** Reads are carried out at once, and answered when `answer` is called. */
  const held = (): { answer: () => Promise<void> } => {
    const answers: (() => void)[] = [];
    const read = harness.logic.read.bind(harness.logic);
    harness.logic.read = async (reads) => {
      const pages = await read(reads);
      await new Promise<void>((resolve) => answers.push(resolve));
      return pages;
    };
    return {
      answer: async () => {
        await until(() => answers.length > 0);
        answers.shift()?.();
      },
    };
  };

  test('is sent behind the page, and not read again', async () => {
    const client = await harness.tcpOf(token('k'));
    const { answer } = held();
    tell(withoutBody(append()));
    await until(() => inboxOf('k').pull === 'reading');
    tell(append(), append());
    await answer();
    expect(await client.texts(3)).toEqual(['5:0', '5:1', '5:2']);
    expect(harness.logic.streams.calls).toHaveLength(1);
    expect(inboxOf('k').live).toBe(true);
    expect([await hints('hold'), await hints('send'), await hints('pull')]).toEqual([2, 2, 1]);
  });

  test('makes the stream be read again where something before it is missing, or it has no body', async () => {
    const client = await harness.tcpOf(token('k'));
    const { answer } = held();
    tell(withoutBody(append()));
    await until(() => inboxOf('k').pull === 'reading');
    append();
    tell(append());
    await answer();
    expect(await client.texts(1)).toEqual(['5:0']);
    await until(() => harness.logic.streams.calls.length === 2);
    tell(withoutBody(append()));
    await answer();
    expect(await client.texts(2)).toEqual(['5:1', '5:2']);
    await answer();
    expect(await client.texts(1)).toEqual(['5:3']);
    expect(inboxOf('k').live).toBe(true);
  });

  test('is passed over where the page has it already', async () => {
    const client = await harness.tcpOf(token('k'));
    const { answer } = held();
    const hint = append();
    const next = append();
    tell(withoutBody(hint));
    await until(() => inboxOf('k').pull === 'reading');
    tell(next, append());
    await answer();
    expect(await rest(client)).toEqual(['0', '1', '2']);
    expect(harness.logic.streams.calls).toHaveLength(1);
  });
});

describe('what cannot be read any more', () => {
  test('is counted, and the stream goes on behind it', async () => {
    const client = await harness.tcpOf(token());
    append();
    append();
    harness.logic.streams.floor = 0;
    tell(withoutBody(append()));
    expect(await client.texts(2)).toEqual(['5:1', '5:2']);
    expect(await harness.metric('halley_comet_stream_gaps_total')).toBe(1);
  });

  test('because the bus began anew is counted once; all that is new comes', async () => {
    const client = await harness.tcpOf(token('k'));
    tell(append(), append());
    expect(await client.texts(2)).toEqual(['5:0', '5:1']);
    harness.logic.streams.begin('e2');
    tell(append());
    expect(await client.texts(1)).toEqual(['5:0']);
    tell(append());
    expect(await client.texts(1)).toEqual(['5:1']);
    expect(await harness.metric('halley_comet_stream_gaps_total')).toBe(1);
    expect(inboxOf('k').cursor?.epoch).toBe('e2');
  });

  test('while logic cannot read is nothing: it is asked until it can', async () => {
    const client = await harness.tcpOf(token());
    harness.logic.readFailure = new HalleyError('store_unavailable');
    tell(withoutBody(append()));
    await until(
      async () => (await harness.metric('halley_comet_stream_reads_total', { result: 'failed' })) > 2,
    );
    expect(harness.comet.reader.catchingUp).toBe(1);
    harness.logic.readFailure = undefined;
    expect(await client.texts(1)).toEqual(['5:0']);
    await until(() => harness.comet.reader.catchingUp === 0);
    expect(await harness.metric('halley_comet_stream_gaps_total')).toBe(0);
  });

  test('yet, because the store is behind what was told, is asked for again', async () => {
    const client = await harness.tcpOf(token());
    const late = append();
    const read = harness.logic.streams.read.bind(harness.logic.streams);
    let behind = 2;
    harness.logic.streams.read = (reads) => {
      behind -= 1;
      if (behind < 0) return read(reads);
      return reads.map(({ after }) => ({ epoch: 'e1', entries: [], through: after, more: false }));
    };
    tell(withoutBody(late));
    expect(await client.texts(1)).toEqual(['5:0']);
  });
});

describe('a device that comes back', () => {
  const renew = async (): Promise<void> => {
    harness.comet.renewal.renewAllSoon();
    harness.comet.renewal.tick();
    await harness.comet.renewal.settled();
  };
  const beat = async (client: TcpClient | WsClient): Promise<void> => {
    client.send(frame(2));
    expect((await client.next()).op).toBe(3);
  };
  const leave = async (client: TcpClient | WsClient): Promise<void> => {
    client.close();
    await until(() => harness.comet.table.size === 0 && harness.comet.releases.pending === 0);
  };

  test('with a key of its own gets what came meanwhile, behind what had left by the heartbeat before the last', async () => {
    const first = await harness.tcpOf(token('k'));
    tell(append(), append());
    expect(await first.texts(2)).toEqual(['5:0', '5:1']);
    await beat(first);
    tell(append());
    expect(await first.texts(1)).toEqual(['5:2']);
    expect(inboxOf('k').cursor?.position).toBe(-1);
    await beat(first);
    expect(inboxOf('k').cursor?.position).toBe(1);
    tell(append());
    await leave(first);
    append();
    const second = await harness.tcpOf(token('k'));
    expect(await second.texts(3)).toEqual(['5:2', '5:3', '5:4']);
    expect(await rest(second)).toEqual([]);
  });

  test('is renewed where it stands while it is there', async () => {
    const client = await harness.tcpOf(token('k'));
    tell(append());
    await client.next();
    await beat(client);
    await beat(client);
    await renew();
    expect(harness.logic.streams.cursors.get('k')).toEqual({ stream: STREAM, epoch: 'e1', position: 0 });
  });

  test('does not go on behind what still waits for it', async () => {
    const client = await harness.tcpOf(token('k'));
    client.socket.pause();
    let told = 0;
    const inbox = inboxOf('k');
    const { table } = harness.comet;
    const outbox = table.get('k' as ConnectionKey)?.outbox;
    while ((outbox?.bufferedBytes ?? 0) === 0) {
      tell(append({ body: Buffer.alloc(64 * 1024) }));
      told += 1;
      await new Promise((resolve) => setImmediate(resolve));
    }
    inbox.beat();
    inbox.beat();
    expect(inbox.last).toBe(told - 1);
    expect(inbox.cursor?.position).toBe(-1);
    client.socket.resume();
    for (let i = 0; i < told; i += 1) await client.next();
    inbox.beat();
    inbox.beat();
    expect(inbox.cursor?.position).toBe(told - 1);
  });

  test('without a key of its own begins at the end', async () => {
    const first = await harness.tcpOf(token());
    await leave(first);
    append();
    const second = await harness.tcpOf(token());
    expect(await rest(second)).toEqual([]);
    await renew();
    expect(harness.logic.streams.cursors.size).toBe(0);
  });

  test('while its old connection is still there goes on for itself', async () => {
    const first = await harness.wsOf(token('k'));
    tell(append());
    await first.next();
    const second = await harness.wsOf(token('k'));
    expect((await first.end()).code).toBe(CloseCode.TakenOver);
    tell(append());
    expect((await second.texts(1)).at(-1)).toBe('5:1');
    expect(harness.comet.streams.size).toBe(1);
    expect(inboxOf('k').closed).toBe(false);
  });
});

test('where cursors are off every device begins at the end', async () => {
  await harness.stop();
  harness = await CometHarness.start({ session: { ver1Cursors: false } });
  harness.logic.streams.cursors.set('k', { stream: STREAM, epoch: 'e1', position: -1 });
  append();
  const client = await harness.tcpOf(token('k'));
  expect(inboxOf('k').cursor).toBeUndefined();
  expect(await rest(client)).toEqual([]);
});

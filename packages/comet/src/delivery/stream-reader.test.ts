import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { HalleyError } from '@halley/protocol/error';
import { systemClock } from '@halley/service/clock';
import { silentLogger } from '@halley/service/log';
import { Metrics } from '@halley/service/metrics';

import type { StreamPage, StreamRead } from '../logic-link.js';
import { Deadlines, type Expiring } from '../session/deadlines.js';
import { NOTHING_TOLD } from '../testing/fake-streams.js';
import { until } from '../testing/harness.js';
import type { PageNext } from './sequencer.js';
import { StreamMetrics } from './stream-metrics.js';
import { type Pulled, type PullState, StreamReader } from './stream-reader.js';

class FakePulled implements Pulled {
  deadlineMs = Number.POSITIVE_INFINITY;
  wheelSlot = -1;
  wheelNext: Expiring | undefined = undefined;
  wheelPrevious: Expiring | undefined = undefined;
  pull: PullState = 'none';
  rests = 0;
  failed = false;
  closed = false;
  drained = true;
  readonly pages: StreamPage[] = [];
  readonly nexts: PageNext[] = [];
  fault: unknown;

  constructor(
    private readonly reader: StreamReader,
    readonly stream: string,
  ) {}

  ready(): boolean {
    return this.drained;
  }

  read(): StreamRead {
    return { stream: this.stream, epoch: 'e', after: -1, maxEntries: 10, maxBytes: 10 };
  }

  take(page: StreamPage): PageNext {
    if (this.fault !== undefined) throw this.fault;
    this.pages.push(page);
    return this.nexts.shift() ?? 'live';
  }

  fail(error: unknown): void {
    expect(error).toBe(this.fault);
    this.closed = true;
    this.reader.forget(this);
  }

  onDeadline(): void {
    this.reader.rested(this);
  }
}

const EMPTY: StreamPage = { epoch: 'e', entries: [], through: 0, more: false };
const entry = { ...NOTHING_TOLD, position: 0, operation: 5, body: Buffer.alloc(0), keys: [] };

describe('the reader of streams', () => {
  let calls: (readonly StreamRead[])[];
  let underWay: number;
  let mostUnderWay: number;
  let answer: (reads: readonly StreamRead[]) => readonly StreamPage[];
  let gate: Promise<void>;
  let deadlines: Deadlines;
  let reader: StreamReader;

  beforeEach(async () => {
    calls = [];
    underWay = mostUnderWay = 0;
    answer = (reads) => reads.map(() => EMPTY);
    gate = Promise.resolve();
    deadlines = new Deadlines({ clock: systemClock, log: silentLogger(), tickMs: 5 });
    await deadlines.start();
    reader = new StreamReader({
      logic: {
        read: async (reads) => {
          calls.push(reads);
          underWay += 1;
          mostUnderWay = Math.max(mostUnderWay, underWay);
          await gate;
          underWay -= 1;
          return answer(reads);
        },
      },
      deadlines,
      metrics: new StreamMetrics(new Metrics({ process: false })),
      clock: systemClock,
      log: silentLogger(),
    });
  });
  afterEach(async () => {
    reader.stop();
    await deadlines.stop(0);
  });

  const pulleds = (count: number): FakePulled[] =>
    Array.from({ length: count }, (_, i) => new FakePulled(reader, `u/${i}`));
  const idle = (): Promise<void> => until(() => reader.catchingUp === 0);

  test('asks for a storm of streams in few calls, a few at a time', async () => {
    let open = (): void => undefined;
    gate = new Promise((resolve) => (open = resolve));
    const all = pulleds(5_000);
    for (const pulled of all) reader.want(pulled);
    await until(() => underWay > 0);
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(underWay).toBe(4);
    open();
    await idle();
    expect(calls).toHaveLength(Math.ceil(5_000 / 256));
    expect(mostUnderWay).toBe(4);
    for (const { pages } of all) expect(pages).toHaveLength(1);
  });

  test('asks once for all who stand at the same place of one stream', async () => {
    const members = Array.from({ length: 200 }, () => new FakePulled(reader, 'r/chat://1'));
    const [other] = pulleds(1) as [FakePulled];
    for (const pulled of [...members, other]) reader.want(pulled);
    await idle();
    expect(calls.map((reads) => reads.map(({ stream }) => stream))).toEqual([['r/chat://1', 'u/0']]);
    for (const { pages } of [...members, other]) expect(pages).toEqual([EMPTY]);
  });

  test('has one read of a stream under way, however often it is wanted', async () => {
    const [pulled] = pulleds(1) as [FakePulled];
    pulled.nexts.push('again', 'again');
    for (let i = 0; i < 5; i += 1) {
      reader.want(pulled);
      await new Promise((resolve) => setImmediate(resolve));
    }
    await idle();
    expect(mostUnderWay).toBe(1);
  });

  test('reads nothing for who has not drained, until it has', async () => {
    const [told, swept] = pulleds(2) as [FakePulled, FakePulled];
    for (const pulled of [told, swept]) {
      pulled.drained = false;
      reader.want(pulled);
    }
    reader.sweep();
    reader.drained(told);
    await new Promise((resolve) => setTimeout(resolve, 10));
    expect(calls).toHaveLength(0);
    told.drained = true;
    reader.drained(told);
    await until(() => told.pages.length === 1);
    swept.drained = true;
    reader.sweep();
    await idle();
    expect(swept.pages).toHaveLength(1);
  });

  test('rests before it asks again where the store is behind', async () => {
    const [pulled] = pulleds(1) as [FakePulled];
    pulled.nexts.push('later', 'later');
    reader.want(pulled);
    await until(() => pulled.pages.length === 1);
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(pulled.pages).toHaveLength(1);
    await idle();
    expect(pulled.pages).toHaveLength(3);
    expect(pulled.rests).toBe(0);
  });

  test('comes through to all other streams while one cannot be read, and to that one afterwards', async () => {
    let away = true;
    answer = (reads) => {
      if (away && reads.some(({ stream }) => stream === 'u/77')) throw new HalleyError('store_unavailable');
      return reads.map(() => EMPTY);
    };
    const all = pulleds(300);
    for (const pulled of all) reader.want(pulled);
    await until(() => reader.catchingUp === 1, 20_000);
    expect(all[77]?.pages).toHaveLength(0);
    away = false;
    await until(() => reader.catchingUp === 0, 10_000);
    expect(all[77]?.pages).toHaveLength(1);
  }, 40_000);

  test('who begins does not wait behind those that cannot be read', async () => {
    gate = new Promise((resolve) => setTimeout(resolve, 50));
    answer = (reads) => {
      if (reads.some(({ stream }) => stream !== 'u/0')) throw new HalleyError('store_unavailable');
      return reads.map(() => EMPTY);
    };
    const [beginner, ...others] = pulleds(3_000) as [FakePulled, ...FakePulled[]];
    for (const pulled of others) reader.want(pulled);
    await until(() => others.every(({ rests }) => rests > 0));
    await new Promise((resolve) => setTimeout(resolve, 200));
    const before = calls.length;
    reader.want(beginner);
    await until(() => beginner.pages.length === 1);
    expect(calls.length - before).toBeLessThan(30);
  });

  test('an answer of too few pages is none', async () => {
    let short = true;
    answer = (reads) => {
      const pages = reads.slice(short ? 1 : 0).map(() => EMPTY);
      short = false;
      return pages;
    };
    const all = pulleds(3);
    for (const pulled of all) reader.want(pulled);
    await idle();
    for (const { pages } of all) expect(pages).toHaveLength(1);
  });

  test('asks for less at once when logic puts most of it off, and at once again', async () => {
    answer = (reads) =>
      reads.map((_, i) => (i < 10 ? { ...EMPTY, entries: [entry] } : { ...EMPTY, more: true, through: -1 }));
    const all = pulleds(1_000);
    for (const pulled of all) {
      const take = pulled.take.bind(pulled);
      pulled.take = (page) => {
        take(page);
        return page.more ? 'again' : 'live';
      };
      reader.want(pulled);
    }
    await idle();
    // At 256 a call, each stream would be asked for some 13 times before its turn.
    expect(calls.reduce((sum, reads) => sum + reads.length, 0)).toBeLessThan(4_000);
  });

  test('asks without haste for one stream that is put off for ever', async () => {
    answer = () => [{ ...EMPTY, more: true, through: -1 }];
    const [pulled] = pulleds(1) as [FakePulled];
    pulled.nexts.push(...Array.from({ length: 1_000 }, (): PageNext => 'again'));
    reader.want(pulled);
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect(calls.length).toBeLessThan(6);
  });

  test('goes on at once over pages of which nothing is shown', async () => {
    answer = (reads) => reads.map(({ after }) => ({ ...EMPTY, more: after < 50, through: after + 1 }));
    const [pulled] = pulleds(1) as [FakePulled];
    let at = -1;
    pulled.read = () => ({ stream: 'u/1', epoch: EMPTY.epoch, after: at, maxEntries: 9, maxBytes: 9 });
    pulled.take = ({ through, more }) => {
      at = through;
      return more ? 'again' : 'live';
    };
    reader.want(pulled);
    await idle();
    expect([at, pulled.pull]).toEqual([51, 'none']);
  });

  test('a page that cannot be taken costs its connection, and no other', async () => {
    const all = pulleds(3) as [FakePulled, FakePulled, FakePulled];
    all[1].fault = new Error('planted');
    for (const pulled of all) reader.want(pulled);
    await idle();
    expect(all.map(({ closed, pages }) => [closed, pages.length])).toEqual([
      [false, 1],
      [true, 0],
      [false, 1],
    ]);
  });

  test('who is gone is not read for, and takes no page that comes late', async () => {
    let open = (): void => undefined;
    gate = new Promise((resolve) => (open = resolve));
    const all = pulleds(4) as [FakePulled, FakePulled, FakePulled, FakePulled];
    const [queued, reading, draining, stays] = all;
    draining.drained = false;
    for (const pulled of [reading, draining, stays]) reader.want(pulled);
    await until(() => underWay === 1);
    reader.want(queued);
    for (const pulled of [queued, reading, draining]) {
      pulled.closed = true;
      reader.forget(pulled);
      reader.want(pulled);
    }
    open();
    await idle();
    expect(all.map(({ pages }) => pages.length)).toEqual([0, 0, 0, 1]);
    expect(calls.flat().map(({ stream }) => stream)).toEqual(['u/1', 'u/3']);
  });
});

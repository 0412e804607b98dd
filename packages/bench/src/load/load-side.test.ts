import { PassThrough } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';

import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { Close, Deliver } from '@halley/protocol/client/bodies';
import { encodeMessageFrame } from '@halley/protocol/client/encode';
import { encodeFrame, encodeFrames, encodeRaw, type Frame, pushFrame } from '@halley/protocol/frame';
import { OperationV2 } from '@halley/protocol/operation';

import { FakeComet, type FakeConnection, type Way, WINDOW_ENTRIES } from '../testing/fake-comet.js';
import { type Identity, tokenOf } from './identity.js';
import { eachLine } from './lines.js';
import { type LoadPlan, type LoadSample, type LoadSide, startLoadSide } from './load-side.js';
import { LoadWorker } from './load-worker.js';
import { buildNative } from './native-build.js';
import { everyoneSender, roomSender, type Sender, stamped, userSender } from './stamp.js';
import type { WorkerStreams } from './worker-link.js';

const RUN = 0x8000000000000001n;
const OPERATION = 1000;
const IDENTITY: Identity = {
  firstMid: 500,
  rooms: 2,
  roomType: 'live',
  accepts: [OPERATION, 1001],
  keyPrefix: 'load-',
};
/** Frames of 116 bytes. */
const BODY_BYTES = 100;

type Counts = Omit<LoadSample, 'latency' | 'closed' | 'open' | 'cpuMs' | 'lastAtNs'>;

/** What a side counted since its start. */
class Total {
  readonly counts: { -readonly [Name in keyof Counts]: number } = {
    delivered: 0,
    bytes: 0,
    outOfOrder: 0,
    repeated: 0,
    missing: 0,
    strays: 0,
    foreign: 0,
    heartbeats: 0,
  };
  readonly closed = new Map<string, number>();
  last!: LoadSample;

  constructor(readonly side: LoadSide) {}

  /** Takes samples until it holds. */
  async until(holds: (total: Total) => boolean): Promise<this> {
    do {
      this.last = await this.side.sample();
      for (const name of Object.keys(this.counts) as (keyof Counts)[]) this.counts[name] += this.last[name];
      for (const [reason, count] of this.last.closed)
        this.closed.set(reason, (this.closed.get(reason) ?? 0) + count);
      await sleep(1);
    } while (!holds(this));
    return this;
  }
}

/** A message as goim pushes it. */
function message(sender: Sender, sequence: number, run = RUN): Frame {
  return pushFrame(
    OPERATION,
    stamped(BODY_BYTES, { sender, sequence: BigInt(sequence), intendedNs: process.hrtime.bigint(), run }),
  );
}

/** Messages to room 0, which connection 0 is in, as they go over a transport: glued, or within a 9. */
function pushes(way: Way, frames: readonly Frame[]): Uint8Array {
  return way === 'tcp' ? encodeFrames(frames) : encodeRaw(frames);
}

function toRoom(...sequences: readonly number[]): Frame[] {
  return sequences.map((sequence) => message(roomSender(0), sequence));
}

/** A server's WebSocket frame. */
function webSocketFrame(first: number, payload: Uint8Array): Buffer {
  const length = payload.length <= 125 ? [payload.length] : [126, payload.length >> 8, payload.length & 255];
  return Buffer.concat([Buffer.from([first, ...length]), payload]);
}

/** A worker of Node in this process: the files that its own process would run are not built here. */
function nodeWorker(): WorkerStreams {
  const commands = new PassThrough();
  const reports = new PassThrough();
  const worker = new LoadWorker((line) => void reports.write(line));
  eachLine(commands, (line) => worker.obey(line));
  const ended = new Promise<string>((resolve) => {
    commands.once('end', () => {
      worker.stop();
      resolve('stopped');
    });
  });
  return { commands, reports, ended };
}

const native = await buildNative();
// Without a compiler there is nothing to test but Node's.
const kinds = 'program' in native ? (['native', 'node'] as const) : (['node'] as const);

describe.each(kinds)('the load side, %s', (kind) => {
  let comet: FakeComet;
  let side: LoadSide | undefined;

  beforeAll(async () => {
    comet = await FakeComet.listen();
  });

  beforeEach(() => comet.begin());

  afterEach(async () => {
    await side?.stop();
    side = undefined;
  });

  afterAll(() => comet.close());

  async function start(change: Partial<LoadPlan> = {}): Promise<LoadSide> {
    const plan: LoadPlan = {
      addresses: [comet.address('tcp')],
      version: 1,
      connections: 1,
      identity: IDENTITY,
      perSecond: 0,
      atOnce: 100,
      heartbeatMs: 0,
      run: RUN,
      native: kind === 'native',
      ...change,
    };
    side = await startLoadSide(plan, kind === 'native' ? {} : { startWorker: nodeWorker });
    return side;
  }

  /** A side with one open connection, and the other end of it. */
  async function opened(way: Way, change: Partial<LoadPlan> = {}): Promise<[Total, FakeConnection]> {
    const one = await start({ addresses: [comet.address(way)], ...change });
    const outcome = await one.connect();
    expect([outcome.connected, [...outcome.failed]]).toEqual([1, []]);
    return [new Total(one), comet.connections[0] as FakeConnection];
  }

  it('connects each as who it is, over all addresses, in several workers', async () => {
    const one = await start({
      addresses: [comet.address('tcp'), comet.address('ws')],
      connections: 7,
      processes: 2,
    });
    const outcome = await one.connect();
    expect(one.kind).toBe(kind);
    expect([outcome.connected, outcome.failed.size, outcome.latency.totalCount]).toEqual([7, 0, 7]);
    expect(comet.connections.map(({ token }) => token).toSorted()).toEqual(
      Array.from({ length: 7 }, (_, i) => tokenOf(IDENTITY, i, 1)),
    );
    expect(comet.connections.filter(({ webSocket }) => webSocket).length).toBe(3);
    const { last } = await new Total(one).until(() => true);
    expect([last.open, last.delivered, last.lastAtNs]).toEqual([7, 0, 0n]);
  });

  describe.each(['tcp', 'ws'] as const)('over %s', (way) => {
    it('reads frames that are cut anywhere', async () => {
      const [total, connection] = await opened(way);
      await total.until(() => true);
      const glued = pushes(way, toRoom(1, 2, 3));
      const bytes = way === 'tcp' ? glued : webSocketFrame(0x82, glued);
      const before = total.counts.bytes;
      for (let at = 0; at < bytes.length; at += 23) {
        await connection.raw(bytes.subarray(at, at + 23));
        // Only when it has read one piece comes the next; over WebSocket Node's worker tells of whole messages only.
        const sent = before + Math.min(at + 23, bytes.length);
        await total.until(({ counts }) => counts.bytes >= sent || (way === 'ws' && kind === 'node'));
      }
      await total.until(({ counts }) => counts.delivered >= 3);
      expect(total.counts).toMatchObject({
        delivered: 3,
        missing: 0,
        outOfOrder: 0,
        repeated: 0,
        foreign: 0,
      });
    });

    it('counts gaps, late ones and repeated ones of each sender by itself', async () => {
      const [total, connection] = await opened(way);
      const user = [1, 2, 2].map((sequence) => message(userSender(0), sequence));
      connection.frame(pushes(way, [...toRoom(7, 8, 12, 10), ...user, ...toRoom(13)]));
      connection.frame(pushes(way, [message(everyoneSender(), 900)]));
      await total.until(({ counts }) => counts.delivered >= 9);
      expect(total.counts).toMatchObject({ delivered: 9, missing: 2, outOfOrder: 1, repeated: 1, strays: 0 });
    });

    it('knows what is not for it, and what is not of this run', async () => {
      const [total, connection] = await opened(way);
      const strays = [message(roomSender(1), 1), message(userSender(1), 1)];
      const foreign = [message(roomSender(0), 1, RUN + 1n), pushFrame(OPERATION, Buffer.from('hello'))];
      connection.frame(pushes(way, [...strays, ...foreign, ...toRoom(1)]));
      await total.until(({ counts }) => counts.delivered >= 1);
      expect(total.counts).toMatchObject({ delivered: 1, strays: 2, foreign: 2 });
    });

    it('takes the age from the intended time, also of what was due long before', async () => {
      const [total, connection] = await opened(way);
      const body = stamped(32, {
        sender: roomSender(0),
        sequence: 1n,
        intendedNs: process.hrtime.bigint() - 20_000_000_000n,
        run: RUN,
      });
      connection.frame(pushes(way, [pushFrame(OPERATION, body)]));
      const { last } = await total.until(({ counts }) => counts.delivered >= 1);
      expect(last.latency.totalCount).toBe(1);
      expect(last.latency.maxValue).toBeGreaterThanOrEqual(19_900_000_000);
      expect(last.lastAtNs).toBeLessThanOrEqual(process.hrtime.bigint());
    });

    it('sends heartbeats, and counts what answers them', async () => {
      const [total] = await opened(way, { heartbeatMs: 10 });
      await total.until(({ counts }) => counts.heartbeats >= 2);
      expect(total.last.open).toBe(1);
    });

    it('names how the other side ends', async () => {
      const one = await start({ addresses: [comet.address(way)], connections: 3 });
      await one.connect();
      const [first, second, third] = comet.connections as [FakeConnection, FakeConnection, FakeConnection];
      first.socket.resetAndDestroy();
      second.socket.destroy();
      if (third.webSocket) third.webSocket.close(3004);
      else third.raw(Buffer.alloc(16)).catch(() => {});
      const total = await new Total(one).until(({ last }) => last.open === 0);
      expect(Object.fromEntries(total.closed)).toEqual({
        eof: 1,
        reset: 1,
        [way === 'ws' ? '3004 HeartbeatTimeout' : 'bad_frame']: 1,
      });
    });

    it('tries again where an attempt broke off, and counts that', async () => {
      const one = await start({ addresses: [comet.address(way)], connections: 4, atOnce: 2 });
      comet.refuse = (attempt) => (attempt < 3 ? 'reset' : undefined);
      const outcome = await one.connect();
      expect([outcome.connected, outcome.failed.size]).toEqual([4, 0]);
      expect([...outcome.retried]).toEqual([['reset', 3]]);
    });

    it('ends all at once, and connects them again with sequences that begin anew', async () => {
      const [total, connection] = await opened(way);
      connection.frame(pushes(way, toRoom(1)));
      await total.until(({ counts }) => counts.delivered >= 1);
      await total.side.drop();
      expect((await total.side.connect()).connected).toBe(1);
      comet.connections[1]?.frame(pushes(way, toRoom(50)));
      await total.until(({ counts }) => counts.delivered >= 2);
      expect(total.counts.missing).toBe(0);
      expect([...total.closed]).toEqual([]);
      expect(total.last.open).toBe(1);
      expect((await total.side.connect()).connected).toBe(0);
    });

    it('reads deliveries of version 2, and acknowledges them by half the window', async () => {
      const [total, connection] = await opened(way, { version: 2 });
      expect(connection.token).toBe(tokenOf(IDENTITY, 0, 2));
      const entries = toRoom(1, 2).map(({ body }, i) => ({ position: 1024 + i, operation: OPERATION, body }));
      const room = { stream: 'r/live://0', epoch: 'e1', after: 9, entries, through: 1025 };
      const plain = {
        stream: 'u/500',
        entries: [{ operation: OPERATION, body: message(userSender(0), 1).body }],
      };
      const frames = [room, plain].map((value) => encodeMessageFrame(OperationV2.Deliver, 0, Deliver, value));
      connection.frame(Buffer.concat(frames));
      await total.until(({ counts }) => counts.delivered >= 3 && connection.acks.length > 0);
      expect(entries.length * 2).toBe(WINDOW_ENTRIES);
      expect(connection.acks).toEqual([{ stream: 'r/live://0', epoch: 'e1', position: 1025 }]);
      connection.frame(encodeMessageFrame(OperationV2.Close, 0, Close, { code: 3503 }));
      connection.socket.end();
      await total.until(({ last }) => last.open === 0);
      expect([...total.closed]).toEqual([['3503 TakenOver', 1]]);
    });

    it('says where a server knows no version 2', async () => {
      comet.refuse = () => 'version 1';
      const outcome = await (await start({ addresses: [comet.address(way)], version: 2 })).connect();
      expect([...outcome.failed]).toEqual([['version_1', 1]]);
    });
  });

  it('reads WebSocket messages in fragments, with a ping between, and 9 within 9', async () => {
    const [total, connection] = await opened('ws');
    const glued = encodeRaw([pushFrame(9, encodeFrames(toRoom(1, 2)))]);
    await connection.raw(webSocketFrame(0x02, glued.subarray(0, 50)));
    await connection.raw(webSocketFrame(0x89, Buffer.from('still?')));
    await connection.raw(webSocketFrame(0x00, glued.subarray(50, 51)));
    await connection.raw(webSocketFrame(0x80, glued.subarray(51)));
    await total.until(({ counts }) => counts.delivered >= 2 && connection.pongs > 0);
    expect(total.counts).toMatchObject({ delivered: 2, missing: 0 });
  });

  it.each([
    ['a masked frame', Buffer.from([0x82, 0x80, 0, 0, 0, 0])],
    ['a continuation of nothing', webSocketFrame(0x80, Buffer.alloc(16))],
    ['a compressed one', webSocketFrame(0xc2, Buffer.alloc(16))],
    ['a message that is no frame', webSocketFrame(0x82, Buffer.alloc(17))],
    [
      'a message that ends within a frame',
      webSocketFrame(0x82, encodeFrame(pushFrame(1, Buffer.alloc(9))).subarray(1)),
    ],
  ])('ends a WebSocket over %s', async (_, bytes) => {
    const [total, connection] = await opened('ws');
    await connection.raw(bytes);
    await total.until(({ last }) => last.open === 0);
    expect([...total.closed]).toEqual([['bad_frame', 1]]);
  });

  it('gives up at once what a server refuses for good', async () => {
    comet.refuse = () => 'code';
    const one = await start({
      addresses: [comet.address('ws'), `${comet.address('ws')}-else`],
      connections: 2,
    });
    const outcome = await one.connect();
    expect(Object.fromEntries(outcome.failed)).toEqual({ '3500 BadToken': 1, 'HTTP 400': 1 });
    expect(outcome.retried.size).toBe(0);
  });

  it('says what it cannot do, and is over then', async () => {
    await expect(start({ connections: 1_000_000 })).rejects.toThrow('give it more processes');
  });

  it('connects once at a time', async () => {
    const one = await start();
    const first = one.connect();
    await expect(one.connect()).rejects.toThrow('connecting already');
    expect((await first).connected).toBe(1);
  });

  it('ends a call that was connecting when all is dropped', async () => {
    const one = await start({ connections: 3, perSecond: 1 });
    const outcome = one.connect();
    await one.drop();
    const { connected, failed } = await outcome;
    expect(connected + (failed.get('dropped') ?? 0)).toBeLessThanOrEqual(1);
    expect((await one.sample()).open).toBe(0);
  });

  it('fails what is asked when it was stopped', async () => {
    const one = await start();
    await one.stop();
    await expect(one.sample()).rejects.toThrow('stopped');
  });
});

describe('the plan of a load', () => {
  const good: LoadPlan = {
    addresses: ['tcp://127.0.0.1:3101'],
    version: 1,
    connections: 1,
    identity: IDENTITY,
    perSecond: 0,
    atOnce: 1,
    heartbeatMs: 0,
    run: RUN,
    native: false,
  };

  it.each<[string, Partial<LoadPlan>]>([
    ['addresses', { addresses: [] }],
    ['addresses', { addresses: ['wss://127.0.0.1:3103/sub'] }],
    ['addresses', { addresses: ['tcp://127.0.0.1'] }],
    ['sources', { sources: ['localhost'] }],
    ['processes', { processes: 65 }],
    ['connections', { connections: -1 }],
    ['atOnce', { atOnce: 0 }],
    ['perSecond', { perSecond: Number.NaN }],
    ['heartbeatMs', { heartbeatMs: 0.5 }],
    ['run', { run: 2n ** 64n }],
    ['identity.roomType', { identity: { ...IDENTITY, roomType: 'a"b' } }],
    ['identity.accepts', { identity: { ...IDENTITY, accepts: Array.from({ length: 65 }, (_, i) => i) } }],
  ])('names %s where it is wrong', async (field, change) => {
    await expect(startLoadSide({ ...good, ...change }, { startWorker: nodeWorker })).rejects.toThrow(
      `the load's ${field}: `,
    );
  });
});

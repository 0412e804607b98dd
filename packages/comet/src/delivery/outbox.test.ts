import { Duplex } from 'node:stream';

import { describe, expect, test } from '@jest/globals';

import { Outbox, OutboxLedger } from './outbox.js';

/** A socket whose other side reads when it is told to. */
class StuckSocket extends Duplex {
  readonly taken: Buffer[] = [];
  #release: (() => void) | undefined;
  stuck = true;

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.taken.push(chunk);
    if (this.stuck) this.#release = done;
    else done();
  }

  override _read(): void {}

  flow(): void {
    this.stuck = false;
    this.#release?.();
  }
}

const bytes = (count: number): Uint8Array => Buffer.alloc(count);

describe('an outbox', () => {
  test('takes any one message when it is empty, and no more than its limit behind it', () => {
    const ledger = new OutboxLedger({ maxBytes: 100, maxTotalBytes: 1_000 });
    const outbox = new Outbox(new StuckSocket(), ledger);
    expect(outbox.offer(bytes(90))).toBe(true);
    expect(outbox.offer(bytes(10))).toBe(true);
    expect(outbox.offer(bytes(1))).toBe(false);
    expect(outbox.bufferedBytes).toBe(100);
    const large = new Outbox(new StuckSocket(), ledger);
    expect(large.offer(bytes(500))).toBe(true);
    expect(large.offer(bytes(1))).toBe(false);
  });

  test('the node holds no more than its total, however many outboxes there are', () => {
    const ledger = new OutboxLedger({ maxBytes: 100, maxTotalBytes: 150 });
    const boxes = Array.from({ length: 3 }, () => new Outbox(new StuckSocket(), ledger));
    for (const box of boxes) expect(box.offer(bytes(40))).toBe(true);
    expect(ledger.totalBytes).toBe(120);
    expect(boxes.map((box) => box.offer(bytes(20)))).toEqual([true, false, false]);
    expect(ledger.busy).toBe(3);
  });

  test('what has drained counts no more, whether or not the socket says so', async () => {
    const ledger = new OutboxLedger({ maxBytes: 100, maxTotalBytes: 100 });
    const socket = new StuckSocket();
    const [drained, waiting] = [new Outbox(socket, ledger), new Outbox(new StuckSocket(), ledger)];
    drained.offer(bytes(90));
    expect(waiting.offer(bytes(10))).toBe(true);
    expect(waiting.offer(bytes(10))).toBe(false);
    socket.flow();
    await new Promise((resolve) => setImmediate(resolve));
    expect(waiting.offer(bytes(10))).toBe(true);
    expect(ledger.totalBytes).toBe(20);
  });

  test('what is offered joined leaves in one write at the end of the tick, in order with what is not', async () => {
    const ledger = new OutboxLedger({ maxBytes: 1_000, maxTotalBytes: 1_000 });
    const socket = new StuckSocket();
    socket.stuck = false;
    let writes = 0;
    socket._writev = (chunks, done) => {
      writes += 1;
      socket.taken.push(...chunks.map(({ chunk }) => chunk as Buffer));
      done();
    };
    const outbox = new Outbox(socket, ledger);
    outbox.offerJoined(Buffer.from('a'));
    outbox.offer(Buffer.from('b'));
    outbox.offerJoined(Buffer.from('c'));
    expect(socket.taken).toEqual([]);
    await new Promise((resolve) => setImmediate(resolve));
    expect(Buffer.concat(socket.taken).toString()).toBe('abc');
    expect(writes).toBe(1);
    expect(ledger.totalBytes).toBe(0);
  });

  test('a closed one takes everything, writes nothing and counts nothing', () => {
    const ledger = new OutboxLedger({ maxBytes: 100, maxTotalBytes: 1_000 });
    const socket = new StuckSocket();
    const outbox = new Outbox(socket, ledger);
    outbox.offer(bytes(90));
    outbox.close();
    outbox.close();
    expect(outbox.offer(bytes(90))).toBe(true);
    expect([ledger.totalBytes, ledger.busy, socket.taken.length]).toEqual([0, 0, 1]);
  });

  test('says how much it takes, and what has left', async () => {
    const ledger = new OutboxLedger({ maxBytes: 100, maxTotalBytes: 150 });
    const [socket, other] = [new StuckSocket(), new Outbox(new StuckSocket(), ledger)];
    const outbox = new Outbox(socket, ledger);
    other.offer(bytes(80));
    expect(outbox.room()).toBe(70);
    expect(outbox.admits(500)).toBe(true);
    outbox.offer(bytes(60));
    expect([outbox.room(), outbox.admits(10), outbox.admits(11)]).toEqual([10, true, false]);
    expect([outbox.written, outbox.left]).toEqual([60, 0]);
    socket.flow();
    await new Promise((resolve) => setImmediate(resolve));
    expect(outbox.room()).toBe(70);
    expect(outbox.left).toBe(60);
  });

  test('tells its owner when it has drained, once it was asked to', async () => {
    const ledger = new OutboxLedger({ maxBytes: 100_000, maxTotalBytes: 1_000_000 });
    const socket = new StuckSocket();
    const outbox = new Outbox(socket, ledger);
    let drained = 0;
    outbox.owner = { onDrained: () => (drained += 1), onFrozen: () => undefined };
    outbox.offer(bytes(90_000));
    outbox.tellDrained();
    outbox.tellDrained();
    socket.flow();
    await new Promise((resolve) => setImmediate(resolve));
    expect([drained, outbox.bufferedBytes]).toEqual([1, 0]);
  });

  test('tells its owner when something waits and nothing has left for too long', async () => {
    const ledger = new OutboxLedger({ maxBytes: 1_000, maxTotalBytes: 10_000 });
    const socket = new StuckSocket();
    const outbox = new Outbox(socket, ledger);
    let frozen = 0;
    outbox.owner = { onDrained: () => undefined, onFrozen: () => (frozen += 1) };
    ledger.tellFrozen(0, 1_000);
    outbox.offer(bytes(90));
    ledger.tellFrozen(1_000, 1_000);
    outbox.offer(bytes(90));
    ledger.tellFrozen(1_999, 1_000);
    expect(frozen).toBe(0);
    ledger.tellFrozen(2_000, 1_000);
    expect(frozen).toBe(1);
    // Something leaves.
    socket.flow();
    socket.stuck = true;
    await new Promise((resolve) => setImmediate(resolve));
    outbox.offer(bytes(90));
    ledger.tellFrozen(2_500, 1_000);
    ledger.tellFrozen(3_400, 1_000);
    expect(frozen).toBe(1);
  });
});

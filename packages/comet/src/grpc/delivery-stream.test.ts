import { EventEmitter } from 'node:events';

import { expect, test } from '@jest/globals';
import { silentLogger } from '@halley/service/log';

import { CometHarness } from '../testing/harness.js';
import { DeliveryStream } from './delivery-stream.js';

/** The server's side of a stream, of which only what is written to it is looked at. */
class FakeCall extends EventEmitter {
  readonly written: { welcome?: object; acks?: { acks: { position: number }[] } }[] = [];

  write(reply: FakeCall['written'][number]): boolean {
    return this.written.push(reply) > 0;
  }
}

test('a partition that is read again is acknowledged up to the highest position that was had', async () => {
  const harness = await CometHarness.start();
  const { deliverer, fanout, table, streams, earlyKicks, metrics } = harness.comet;
  const call = new FakeCall();
  const running = new DeliveryStream(call as never, {
    deliverer,
    fanout,
    table,
    streams,
    earlyKicks,
    metrics,
    log: silentLogger(),
    incarnation: () => 'i',
    onJob: () => undefined,
  }).run();
  const batch = (...positions: number[]) =>
    call.emit('data', {
      batches: {
        batches: [
          {
            topic: 't',
            partition: 1,
            deliveries: positions.map((position) => ({
              position: String(position),
              operation: 1,
              body: Buffer.alloc(0),
              expire_at_ms: '0',
              keys: [],
              rooms: [],
              everyone: false,
              speed: 0,
              source: '',
              streams: [],
              without_body: false,
            })),
          },
        ],
      },
    });
  call.emit('data', { hello: { job: 'j', comet_incarnation: 'i', epoch: 'e' } });
  batch(5, 6, 7, 8);
  batch(5, 6);
  await new Promise((resolve) => setImmediate(resolve));
  expect(call.written.at(-1)?.acks?.acks).toEqual([{ topic: 't', partition: 1, position: 8 }]);
  call.emit('end');
  await running;
  await harness.stop();
});

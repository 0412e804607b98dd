// Writes to an embedded bus as fast as it goes, and tells each record once it was acknowledged, until it is killed.
import { writeSync } from 'node:fs';
import { EmbeddedBus } from '@halley/store/bus/embedded';
import { systemClock } from '@halley/service/clock';
import { silentLogger } from '@halley/service/log';

const [dataDir, partitions, round] = process.argv.slice(2);
const bus = new EmbeddedBus({
  dataDir,
  partitions: Number(partitions),
  clock: systemClock,
  log: silentLogger(),
});
await bus.start();

async function write(writer) {
  for (let count = 0; ; count += 1) {
    const partition = (writer + count) % Number(partitions);
    const value = `${round}/${writer}/${count}`;
    const [written] = await bus.produce('lines', [{ partition, key: 'k', value: Buffer.from(value) }]);
    writeSync(1, `${partition} ${written.offset} ${value}\n`);
  }
}

await Promise.all(Array.from({ length: 16 }, (_, writer) => write(writer)));

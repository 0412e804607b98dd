import { PARTITIONS } from './bus.js';
import type { World } from './world.js';

/** Far more rounds than any schedule needs. */
const MAX_ROUNDS = 400;

/**
 * Faults end and everything goes on: one job takes in and archives all, hints are lost, every comet renews once; then
 * whoever was connected must catch up, and after that whoever wasn't.
 */
export function settle(world: World): void {
  const [, job] = world.jobs;
  job!.restart();
  for (const comet of world.comets) for (const queue of comet.queues) queue.clear();
  while (world.cursorWrites.length > 0) world.writeCursor(0);
  for (let partition = 0; partition < PARTITIONS; partition += 1) {
    for (let i = 0; i < 2 * world.bus.partitions[partition]!.length + 8; i += 1) job!.take(partition);
    for (const comet of world.comets) for (const queue of comet.queues) queue.clear();
    for (let i = 0; i < 3 * world.bus.partitions[partition]!.length + 8; i += 1) job!.archive(partition);
    job!.commit(partition);
  }
  for (const comet of world.comets) comet.renew();
  catchUp(world);
  for (const { connection } of world.devices) if (connection) world.check.caughtUp(connection);
  world.devices.forEach((device, index) => {
    if (!device.connection) world.connect(device, world.comets[index % world.comets.length]!, false);
  });
  catchUp(world);
  for (const { connection } of world.devices) if (connection) world.check.caughtUp(connection);
  world.check.outcomes();
}

/** Clients read, acknowledge and pull until nothing is left to do. */
function catchUp(world: World): void {
  for (const device of world.devices) {
    for (let round = 0; round < MAX_ROUNDS; round += 1) {
      world.receive(device, Number.POSITIVE_INFINITY);
      world.acknowledge(device);
      if (device.connection?.pull() !== true) break;
    }
  }
}

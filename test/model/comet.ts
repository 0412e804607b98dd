import type { Connection } from './connection.js';
import { HintQueue } from './hints.js';
import { JOBS } from './sizes.js';
import { newest } from './shard.js';
import { partitionOf } from './bus.js';
import type { World } from './world.js';

/** A comet: its connections, and a queue of hints from each job. */
export class Comet {
  incarnation = 0;
  readonly queues = Array.from({ length: JOBS }, () => new HintQueue());
  connections: Connection[] = [];

  constructor(
    private readonly world: World,
    readonly index: number,
  ) {}

  /** Killed and started again: all that it held is gone. */
  kill(): void {
    this.incarnation += 1;
    for (const queue of this.queues) queue.clear();
    for (const connection of this.connections) this.#drop(connection);
    this.connections = [];
  }

  /** A hint of a job's queue arrives, maybe before others; with `again` it will arrive once more. */
  deliver(job: number, index: number, again: boolean): void {
    const { hints } = this.queues[job]!;
    const hint = hints[index];
    if (!hint) return;
    if (!again) hints.splice(index, 1);
    for (const connection of this.connections) if (connection.stream === hint.stream) connection.hint(hint);
  }

  /** Writes the routes of all connections again, and learns the newest positions of their streams. */
  renew(): void {
    const { redis, faults } = this.world;
    const { connections } = this;
    for (const connection of connections) {
      if (!this.claim(connection)) this.close(connection);
      else
        connection.renewed(newest(redis.shards[partitionOf(connection.stream)]!, connection.stream, faults));
    }
  }

  claim({ device, owner }: Connection): boolean {
    return this.world.claim(device, { comet: this.index, incarnation: this.incarnation, owner });
  }

  close(connection: Connection): void {
    this.connections = this.connections.filter((one) => one !== connection);
    this.#drop(connection);
  }

  #drop(connection: Connection): void {
    const device = this.world.devices[connection.device]!;
    if (device.connection === connection) device.connection = undefined;
  }
}

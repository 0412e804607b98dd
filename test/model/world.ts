import { Archive } from './archive.js';
import { Bus, partitionOf } from './bus.js';
import { Checks } from './checks.js';
import { Comet } from './comet.js';
import { Connection } from './connection.js';
import { Device } from './device.js';
import type { Faults } from './faults.js';
import type { Invariant } from './invariants.js';
import { Job } from './job.js';
import { Redis } from './redis.js';
import { Sender, type Sent } from './sender.js';
import { COMETS, JOBS, SENDERS } from './sizes.js';
import * as script from './shard.js';

/** A cursor that a comet sent to logic and that isn't written yet. */
interface CursorWrite {
  readonly device: number;
  readonly owner: number;
  readonly position: number;
}

/** A whole cluster with its callers and clients, in one process and without any time of its own. */
export class World {
  /** Since the start. */
  hours = 0;
  readonly check: Checks;
  readonly bus = new Bus();
  readonly redis = new Redis();
  readonly archive: Archive;
  readonly sent = new Map<number, Sent>();
  readonly comets = Array.from({ length: COMETS }, (_, index) => new Comet(this, index));
  readonly jobs = Array.from({ length: JOBS }, (_, index) => new Job(this, index));
  readonly senders = Array.from({ length: SENDERS }, (_, index) => new Sender(this, index));
  /** Two of one user, and two of others, of whom one has a partition of its own. */
  readonly devices = [
    new Device(this, 0, 0, true),
    new Device(this, 1, 0, false),
    new Device(this, 2, 1, true),
    new Device(this, 3, 2, true),
    new Device(this, 4, 2, false),
  ];
  readonly cursorWrites: CursorWrite[] = [];
  #owners = 0;

  constructor(
    readonly faults: Faults = {},
    watched?: ReadonlySet<Invariant>,
  ) {
    this.check = new Checks(this, watched);
    this.archive = new Archive(faults);
  }

  /** A device connects; if it was connected, the old comet notices at once or, with `unnoticed`, by its next renewal. */
  connect(device: Device, comet: Comet, unnoticed: boolean): void {
    this.disconnect(device, unnoticed);
    this.#owners += 1;
    const owner = this.#owners;
    this.claim(device.index, { comet: comet.index, incarnation: comet.incarnation, owner });
    if (!device.keepsCursor) {
      const { cursors } = this.redis.shards[partitionOf(device.stream)]!;
      device.cursor = cursors.get(device.index)?.position ?? -1;
      this.check.opened(device, device.cursor);
    }
    device.connection = new Connection(this, device.index, device.stream, owner, device.cursor);
    comet.connections.push(device.connection);
  }

  disconnect(device: Device, unnoticed: boolean): void {
    const { connection } = device;
    if (!connection) return;
    device.connection = undefined;
    connection.abandoned = true;
    if (unnoticed) return;
    for (const comet of this.comets) comet.close(connection);
    this.redis.write(partitionOf(device.stream), (shard) =>
      script.release(shard, device.index, connection.owner),
    );
  }

  /** Writes a route as its session says; answers whether the session is still the device's latest. */
  claim(device: number, route: script.Route): boolean {
    const { redis, faults } = this;
    const shard = partitionOf(this.devices[device]!.stream);
    const before = redis.shards[shard]!.routes.get(device);
    const claimed = redis.write(shard, (state) => script.claim(state, device, route, faults));
    if (before)
      this.check.owner(`the route of device ${device}`, before, redis.shards[shard]!.routes.get(device)!);
    return claimed;
  }

  /** A client handles up to `count` frames that its comet wrote. */
  receive(device: Device, count: number): void {
    for (const frame of device.connection?.outbox.splice(0, count) ?? []) device.receive(frame);
  }

  /** A client acknowledges all it has, and its comet sends the cursor to logic. */
  acknowledge(device: Device): void {
    const { connection } = device;
    if (!connection) return;
    connection.unacknowledged = connection.outbox.length;
    this.cursorWrites.push({ device: device.index, owner: connection.owner, position: device.cursor });
  }

  /** A cursor arrives, maybe after later ones. */
  writeCursor(index: number): void {
    const [write] = this.cursorWrites.splice(index, 1);
    if (!write) return;
    const { redis, faults } = this;
    const { device, owner, position } = write;
    const shard = partitionOf(this.devices[device]!.stream);
    const before = redis.shards[shard]!.cursors.get(device);
    redis.write(shard, (state) => script.saveCursor(state, device, owner, position, faults));
    if (before)
      this.check.owner(`the cursor of device ${device}`, before, redis.shards[shard]!.cursors.get(device)!);
  }
}

import { setTimeout as sleep } from 'node:timers/promises';

import type { TestCluster } from './cluster.js';
import { connectTo } from './traffic.js';
import { newMid } from './unique.js';

/** Clients that come and go at these comets, one after the other: they connect, authenticate, ask for a heartbeat, leave. */
export class Logins {
  /** Why some did not get through. */
  readonly failed: string[] = [];
  count = 0;
  slowestMs = 0;
  #stopped = false;
  readonly #loop: Promise<void>;

  constructor(
    private readonly cluster: TestCluster,
    private readonly comets: readonly string[],
  ) {
    this.#loop = this.#run();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#loop;
  }

  async #run(): Promise<void> {
    while (!this.#stopped) {
      const comet = this.comets[this.count % this.comets.length] ?? '';
      const transport = this.count % 4 < 2 ? 'tcp' : 'ws';
      const since = performance.now();
      try {
        const client = await connectTo(this.cluster, comet, transport);
        await client.auth({ mid: newMid(), room_id: 'test://logins' });
        await client.heartbeat();
        client.close();
      } catch (error) {
        this.failed.push(`${comet} ${transport}: ${String(error)}`);
      }
      this.count += 1;
      this.slowestMs = Math.max(this.slowestMs, performance.now() - since);
      await sleep(50);
    }
  }
}

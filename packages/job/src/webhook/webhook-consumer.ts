import { atMost } from '@halley/service/at-most';
import type { Service } from '@halley/service/lifecycle';
import { type Bus, type BusConsumer, Topic, type TopicPartition } from '@halley/store/bus/bus';

import { LaneEnded } from '../consume/ownership.js';
import type { WebhookConfig, WebhookEndpoint } from './config.js';
import { Gate } from './gate.js';
import { poster } from './poster.js';
import { WebhookLane, type WebhookLaneDeps } from './webhook-lane.js';

export interface WebhookConsumerDeps extends Omit<WebhookLaneDeps, 'endpoint' | 'limits' | 'post' | 'gate'> {
  readonly bus: Pick<Bus, 'consume'>;
  readonly config: WebhookConfig;
  readonly endpoint: WebhookEndpoint;
}

interface Owned {
  readonly lane: WebhookLane;
  committed: number;
}

/**
 * Sends events to one endpoint, in a consumer group of its own: another that is slow or away does not hold it up. What is done
 * is committed on a timer and at the end; when a partition goes to another job, what was done since is sent again.
 */
export class WebhookConsumer implements Service {
  readonly name: string;
  readonly group: string;
  readonly #lane: WebhookLaneDeps;
  readonly #owned = new Map<string, Owned>();
  #consumer: BusConsumer | undefined;
  #timer: NodeJS.Timeout | undefined;
  #stopping = false;

  constructor(private readonly deps: WebhookConsumerDeps) {
    const { config, endpoint, clock } = deps;
    this.name = `webhook ${endpoint.name}`;
    this.group = `halley-webhook-${endpoint.name}`;
    const post = poster({ endpoint, timeoutMs: config.timeoutMs, now: () => clock.now() });
    this.#lane = { ...deps, limits: config, post, gate: new Gate({ ...config, clock }) };
  }

  async start(): Promise<void> {
    const { bus, endpoint, config } = this.deps;
    this.#consumer = await bus.consume({
      group: this.group,
      topics: topicsOf(endpoint),
      from: 'earliest',
      onBatch: async (batch) => {
        if (this.#stopping) throw new LaneEnded(`${batch.topic}/${batch.partition}`);
        await this.#ownedAt(batch).lane.take(batch);
      },
      onRevoked: (partitions) => this.#revoked(partitions),
    });
    this.#timer = setInterval(() => void this.commit(), config.commitIntervalMs);
  }

  /** Takes nothing more, waits for the answers to what is sent for at most half of the deadline, commits, and leaves. */
  async stop(deadlineMs: number): Promise<void> {
    const consumer = this.#consumer;
    clearInterval(this.#timer);
    if (!consumer) return;
    this.#stopping = true;
    consumer.pause(consumer.assigned());
    const lanes = [...this.#owned.values()].map(({ lane }) => lane);
    await atMost(Promise.all(lanes.map((lane) => lane.settle())), deadlineMs / 2);
    for (const lane of lanes) lane.end();
    await atMost(this.commit(), deadlineMs / 4);
    this.#consumer = undefined;
    await consumer.stop(deadlineMs / 4);
    this.#owned.clear();
  }

  /** When the bus took the oldest event that is not done, Unix milliseconds; undefined when all that were read are. */
  get oldestMs(): number | undefined {
    const times = [...this.#owned.values()].flatMap(({ lane }) => lane.offsets.oldestTimestampMs ?? []);
    return times.length > 0 ? Math.min(...times) : undefined;
  }

  /** Commits what is done; resolves when it is stored. */
  async commit(): Promise<void> {
    await Promise.all([...this.#owned.values()].map((owned) => this.#commit(owned)));
  }

  async #commit(owned: Owned): Promise<void> {
    const { topic, partition, offsets } = owned.lane;
    const offset = offsets.committable;
    if (offset === undefined || offset <= owned.committed) return;
    const before = owned.committed;
    owned.committed = offset;
    try {
      await this.#consumer?.commit(topic, partition, offset);
    } catch (error) {
      // The next one says it again.
      owned.committed = Math.min(owned.committed, before);
      this.deps.log.warn({ err: error, topic, partition, group: this.group }, 'commit failed');
    }
  }

  #ownedAt({ topic, partition }: TopicPartition): Owned {
    const name = `${topic}/${partition}`;
    let owned = this.#owned.get(name);
    if (!owned) {
      owned = { lane: new WebhookLane(topic, partition, this.#lane), committed: -1 };
      this.#owned.set(name, owned);
    }
    return owned;
  }

  #revoked(partitions: readonly TopicPartition[]): void {
    for (const { topic, partition } of partitions) {
      const owned = this.#owned.get(`${topic}/${partition}`);
      if (!owned) continue;
      this.#owned.delete(`${topic}/${partition}`);
      owned.lane.end();
    }
  }
}

function topicsOf({ kinds }: WebhookEndpoint): string[] {
  const events = kinds.some((kind) => kind !== 'upstream');
  return [...(events ? [Topic.Events] : []), ...(kinds.includes('upstream') ? [Topic.Receive] : [])];
}

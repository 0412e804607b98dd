import { setTimeout as sleep } from 'node:timers/promises';
import type { Admin, ITopicMetadata } from 'kafkajs';
import { HalleyError } from '@halley/protocol/error';
import type { Clock } from '@halley/service/clock';
import { Topic } from './bus.js';
import type { BusConfig } from './config.js';

/** A topic that the bus uses. */
export interface TopicSpec {
  readonly name: string;
  /** How many a new topic gets. */
  readonly partitions: number;
  /** Whether an existing topic must have exactly as many. goim's own topics may have theirs. */
  readonly frozen: boolean;
}

/** Halley's topics; the partitions of pushes are shards, and frozen. */
export function halleyTopics(partitions: number): TopicSpec[] {
  return Object.values(Topic).map((name) => ({
    name,
    partitions,
    frozen: name === Topic.Push || name === Topic.Bulk,
  }));
}

/**
 * Makes the missing topics, and returns what Kafka says of all of them. Throws `bad_config` on another partition count, and
 * when Kafka refuses to make one; what Kafka's client throws when it is not reached in time.
 */
export async function openTopics(
  admin: Admin,
  config: BusConfig,
  specs: readonly TopicSpec[],
  clock: Clock,
): Promise<ITopicMetadata[]> {
  const existing = new Set(await admin.listTopics());
  const missing = specs.filter((spec) => !existing.has(spec.name));
  if (missing.length > 0) {
    const { brokers } = await admin.describeCluster();
    const replicas = config.replication === 0 ? Math.min(3, brokers.length) : config.replication;
    for (const spec of missing) await createTopic(admin, spec, replicas, config);
  }
  const topics = await metadataOf(admin, specs, clock.monotonicMs() + config.connectTimeoutMs, clock);
  for (const spec of specs) {
    const found = topics.find((topic) => topic.name === spec.name)?.partitions.length;
    if (spec.frozen && found !== spec.partitions) {
      throw new HalleyError(
        'bad_config',
        `bus.partitions is ${spec.partitions}, but the topic ${spec.name} has ${found} partitions: set it to ${found} where the cluster began with them. Where they were added since, do not: devices would pass over messages (docs/scaling.md, How it grows).`,
      );
    }
  }
  return topics;
}

async function createTopic(
  admin: Admin,
  spec: TopicSpec,
  replicas: number,
  config: BusConfig,
): Promise<void> {
  try {
    // False when another node made it meanwhile.
    await admin.createTopics({
      waitForLeaders: false,
      topics: [
        {
          topic: spec.name,
          numPartitions: spec.partitions,
          replicationFactor: replicas,
          configEntries: [
            { name: 'min.insync.replicas', value: String(replicas > 2 ? 2 : 1) },
            { name: 'unclean.leader.election.enable', value: 'false' },
            { name: 'max.message.bytes', value: String(config.maxRecordBytes) },
            { name: 'retention.ms', value: String(config.retentionMs) },
          ],
        },
      ],
    });
  } catch (error) {
    // Kafka was not reached, or took too long: the start is tried again.
    if (!hasErrors(error)) throw error;
    const reason = error.errors.join('; ');
    throw new HalleyError('bad_config', `The topic ${spec.name} could not be created: ${reason}`, {
      cause: error,
    });
  }
}

function hasErrors(error: unknown): error is { readonly errors: readonly unknown[] } {
  return typeof error === 'object' && error !== null && 'errors' in error && Array.isArray(error.errors);
}

/** Asks until every partition has a leader: a new topic takes a moment to get around. */
async function metadataOf(
  admin: Admin,
  specs: readonly TopicSpec[],
  untilMs: number,
  clock: Clock,
): Promise<ITopicMetadata[]> {
  for (;;) {
    let failure: unknown = 'a partition has no leader';
    try {
      const { topics } = await admin.fetchTopicMetadata({ topics: specs.map((spec) => spec.name) });
      const led = topics.every((topic) => topic.partitions.every((partition) => partition.leader >= 0));
      if (led && topics.every((topic) => topic.partitions.length > 0)) return topics;
    } catch (error) {
      failure = error;
    }
    if (clock.monotonicMs() >= untilMs) {
      throw new HalleyError('bus_refused', 'Kafka has no leader for some partition of the topics.', {
        cause: failure,
      });
    }
    await sleep(100);
  }
}

import { describe, expect, test } from '@jest/globals';
import { systemClock } from '@halley/service/clock';
import { type Admin, Kafka, KafkaJSRequestTimeoutError, logLevel } from 'kafkajs';

import { busConfig } from './config.js';
import { halleyTopics, openTopics } from './kafka-topics.js';

/** An admin of no Kafka, to which making a topic fails like this. */
function failing(error: unknown): Admin {
  const admin = new Kafka({ brokers: ['127.0.0.1:1'], logLevel: logLevel.NOTHING }).admin();
  return {
    ...admin,
    listTopics: async () => [],
    describeCluster: async () => ({ brokers: [], controller: null, clusterId: 'c' }),
    createTopics: async () => {
      throw error;
    },
  };
}

const open = (error: unknown) =>
  openTopics(failing(error), busConfig.parse({}), halleyTopics(24), systemClock);

describe('topics that cannot be made', () => {
  test('because Kafka refuses say so, by the topic and the reason', async () => {
    const refused = Object.assign(new Error('Topic errors'), { errors: [new Error('no such factor')] });
    await expect(open(refused)).rejects.toMatchObject({
      code: 'bad_config',
      message: expect.stringMatching(/^The topic halley-\S+ could not be created: Error: no such factor$/),
    });
  });

  test('because Kafka takes too long are left to the next try', async () => {
    const late = new KafkaJSRequestTimeoutError('Request CreateTopics(key: 19, version: 3) timed out');
    await expect(open(late)).rejects.toBe(late);
  });
});

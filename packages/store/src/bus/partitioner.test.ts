import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { Partitioners, type PartitionMetadata } from 'kafkajs';
import { partitionOfKey } from './partitioner.js';

test('a key goes where the default partitioner of Kafka puts it', () => {
  const kafka = Partitioners.DefaultPartitioner();
  const key = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 40 });
  fc.assert(
    fc.property(key, fc.integer({ min: 1, max: 100 }), (name, partitions) => {
      const partitionMetadata = Array.from({ length: partitions }, (_, partitionId): PartitionMetadata => ({
        partitionErrorCode: 0,
        partitionId,
        leader: 1,
        replicas: [1],
        isr: [1],
      }));
      const message = { key: name, value: '' };
      expect(partitionOfKey(name, partitions)).toBe(kafka({ topic: 't', partitionMetadata, message }));
    }),
  );
});

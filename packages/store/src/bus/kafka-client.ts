import { readFileSync } from 'node:fs';
import { Kafka, logLevel, type KafkaConfig, type SASLOptions } from 'kafkajs';
import type { Logger } from '@halley/service/log';
import type { BusConfig } from './config.js';
import { calmIdleTimers } from './kafka-idle-timers.js';
import { forwardTo } from './kafka-log.js';

/** How long one request may take, in milliseconds; several attempts fit into the time of a produce. */
export function requestTimeoutMs(config: BusConfig): number {
  return Math.min(5_000, Math.ceil(config.produceTimeoutMs / 3));
}

/**
 * A client of its own for each producer and consumer: clients of one group that share a `Kafka` share its cache of
 * committed offsets, and clear it under each other.
 */
export function kafkaClient(config: BusConfig, log: Logger): Kafka {
  calmIdleTimers();
  const options: KafkaConfig = {
    brokers: [...config.brokers],
    clientId: config.clientId,
    connectionTimeout: 2_000,
    requestTimeout: requestTimeoutMs(config),
    retry: { initialRetryTime: 50, maxRetryTime: 500, retries: 3 },
    logLevel: log.isLevelEnabled('debug') ? logLevel.INFO : logLevel.WARN,
    logCreator: forwardTo(log),
  };
  if (config.tls)
    options.ssl = config.tlsCaFile === '' ? true : { ca: [readFileSync(config.tlsCaFile, 'utf8')] };
  const sasl = saslOptions(config);
  if (sasl) options.sasl = sasl;
  return new Kafka(options);
}

function saslOptions({ saslMechanism, saslPassword, saslUsername }: BusConfig): SASLOptions | undefined {
  const credentials = { username: saslUsername, password: saslPassword };
  switch (saslMechanism) {
    case 'none':
      return undefined;
    case 'plain':
      return { mechanism: 'plain', ...credentials };
    case 'scram-sha-256':
      return { mechanism: 'scram-sha-256', ...credentials };
    case 'scram-sha-512':
      return { mechanism: 'scram-sha-512', ...credentials };
  }
}

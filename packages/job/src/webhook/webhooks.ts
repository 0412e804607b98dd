import type { Service } from '@halley/service/lifecycle';
import type { Metrics } from '@halley/service/metrics';

import { WebhookConsumer, type WebhookConsumerDeps } from './webhook-consumer.js';
import { WebhookMetrics } from './metrics.js';

export interface WebhooksDeps extends Omit<WebhookConsumerDeps, 'endpoint' | 'metrics'> {
  readonly metrics: Metrics;
}

/** The endpoints that are told of events, each by itself. */
export class Webhooks implements Service {
  readonly name = 'webhooks';
  readonly #consumers: readonly WebhookConsumer[];

  constructor(deps: WebhooksDeps) {
    const { endpoints } = deps.config;
    const metrics = new WebhookMetrics(deps.metrics, deps.clock);
    this.#consumers = endpoints.map((endpoint) => new WebhookConsumer({ ...deps, metrics, endpoint }));
    const named = endpoints.map(({ name }, index) => [name, this.#consumers[index]!] as const);
    metrics.watch(() => named.map(([name, { oldestMs }]) => [name, oldestMs] as const));
  }

  async start(): Promise<void> {
    await Promise.all(this.#consumers.map((consumer) => consumer.start()));
  }

  async stop(deadlineMs: number): Promise<void> {
    await Promise.all(this.#consumers.map((consumer) => consumer.stop(deadlineMs)));
  }
}

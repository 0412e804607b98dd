import { createClient } from '@halley/cluster/grpc/client';
import { clientTlsOf } from '@halley/cluster/grpc/config';
import { clientCredentials } from '@halley/cluster/grpc/tls';
import type { NodeRecord, Registry } from '@halley/cluster/registry/registry';
import { systemClock } from '@halley/service/clock';
import type { Logger } from '@halley/service/log';
import type { Metrics } from '@halley/service/metrics';

import type { JobConfig } from '../config.js';
import type { JobMetrics } from '../metrics.js';
import type { Wakeup } from '../wakeup.js';
import { CometLinks } from './comet-links.js';
import { DeliveryClient } from './delivery-client.js';

export interface OpenLinksDeps {
  readonly config: Pick<JobConfig, 'link' | 'cluster'>;
  /** This job. */
  readonly node: NodeRecord;
  readonly registry: Registry;
  /** The bus's. */
  readonly epoch: string;
  readonly metrics: JobMetrics;
  readonly grpcMetrics: Metrics;
  readonly changed: Wakeup;
  readonly log: Logger;
}

/** Links to the comets that the registry shows, not started. */
export async function openLinks(deps: OpenLinksDeps): Promise<CometLinks> {
  const { node, registry, epoch, metrics, grpcMetrics, changed, log } = deps;
  const { link, cluster } = deps.config;
  const tls = clientTlsOf(cluster);
  const credentials = tls ? await clientCredentials(tls) : undefined;
  return new CometLinks({
    view: await registry.watch('comet'),
    hello: { job: node.id, job_incarnation: node.incarnation, epoch },
    limits: { ...link, vanishedHoldMs: 2 * registry.sessionTimeoutMs },
    unknownCometGraceMs: link.unknownCometGraceMs,
    connect: (target) =>
      createClient(DeliveryClient, {
        target,
        log,
        metrics: grpcMetrics,
        serverName: cluster.tlsServerName,
        token: cluster.token,
        // The link itself knows what to send again.
        neverRetried: ['halley.delivery.v1.DeliveryService/Deliver'],
        ...(credentials ? { credentials } : {}),
      }),
    clock: systemClock,
    log,
    changed,
    onBreak: (status) => metrics.linkBreaks.inc({ status }),
  });
}

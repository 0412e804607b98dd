import { observeClient, observeServer } from '@halley/cluster/grpc/interceptors';
import { CometMetrics } from '@halley/comet/comet-metrics';
import { JobMetrics } from '@halley/job/metrics';
import { WebhookMetrics } from '@halley/job/webhook/metrics';
import { logicMetrics, watchAdmission } from '@halley/logic/metrics';
import { exceptionMetrics } from '@halley/service/exception-reports';
import { Metrics } from '@halley/service/metrics';
import { busMetrics } from '@halley/store/bus/metrics';
import { redisBusMetrics } from '@halley/store/bus/redis/metrics';
import { eventMetrics } from '@halley/store/events/metrics';

import { table } from './table.mjs';

const INTRODUCTION = `# Metrics

<!-- Generated from the code that registers them by \`npm run docs\`. Do not edit. -->

Every process serves its metrics at \`/metrics\` of its ops port (comet 3104, logic 3114, job 3124) in Prometheus' text format.
A name says its unit: \`_seconds\`, \`_bytes\`, \`_total\` (a count since the start); a gauge without one is a number of what it names.
In \`npm start\`, all tiers answer the same, of the whole process. What to watch and when to worry is in [operating](operating.md).
`;

const nothing = () => 0;

/** What the processes of each tier register. */
function registrations() {
  const log = undefined;
  const calls = (metrics) => {
    observeServer({ log, metrics });
    observeClient({ log, metrics, deadlineMs: 0 });
  };
  return {
    comet: (metrics) => {
      new CometMetrics(metrics).observe({
        authenticated: nothing,
        addresses: nothing,
        rooms: nothing,
        bufferedBytes: nothing,
        busyOutboxes: nothing,
        backlogBytes: nothing,
        catchingUp: nothing,
      });
      exceptionMetrics(metrics, 'comet');
      calls(metrics);
    },
    logic: (metrics) => {
      logicMetrics(metrics);
      watchAdmission(metrics, { inFlight: 0, queuedBytes: 0 });
      exceptionMetrics(metrics, 'logic');
      eventMetrics(metrics);
      busMetrics(metrics);
      redisBusMetrics(metrics);
      calls(metrics);
    },
    job: (metrics) => {
      new JobMetrics(metrics, nothing).watch({
        oldestUndoneMs: nothing,
        undoneRecords: nothing,
        queueBytes: () => [],
        linkStates: () => [],
      });
      exceptionMetrics(metrics, 'job');
      eventMetrics(metrics);
      new WebhookMetrics(metrics, undefined).watch(() => []);
      busMetrics(metrics);
      redisBusMetrics(metrics);
      observeClient({ log, metrics, deadlineMs: 0 });
    },
  };
}

/** Metrics by title of their table. */
const GROUPS = [
  ['comet', /^halley_comet_/],
  ['logic', /^halley_logic_/],
  ['job', /^halley_job_/],
  ['The bus (logic, job)', /^halley_bus_/],
  ['Events for the business (logic, job)', /^halley_events_/],
  ['gRPC (comet, logic, job)', /^halley_grpc_/],
];

/** docs/metrics.md, from what the tiers register. */
export function metricsPage() {
  const found = new Map();
  for (const register of Object.values(registrations())) {
    const metrics = new Metrics({ process: false });
    register(metrics);
    for (const metric of metrics.registry.getMetricsAsArray()) found.set(metric.name, metric);
  }
  const lines = [INTRODUCTION];
  for (const [title, pattern] of GROUPS) {
    const rows = [...found.values()]
      .filter(({ name }) => pattern.test(name))
      .map(({ name, type, help, labelNames }) => [
        `\`${name}\``,
        type,
        labelNames.map((label) => `\`${label}\``).join(', '),
        help,
      ]);
    lines.push(`## ${title}`, '', ...table(['metric', 'type', 'labels', 'meaning'], rows), '');
  }
  lines.push(
    '## The process (every tier)',
    '',
    "Those of prom-client's default: `process_cpu_seconds_total`, `process_resident_memory_bytes`, `process_open_fds` and",
    '`process_max_fds`, `nodejs_eventloop_lag_p99_seconds` (and its other quantiles), `nodejs_gc_duration_seconds`,',
    '`nodejs_heap_size_used_bytes`, and others of the names `process_…` and `nodejs_…`.',
    '',
  );
  return lines.join('\n');
}

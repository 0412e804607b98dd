import { DURATION_BUCKETS, type Metrics } from '@halley/service/metrics';

/** What logic counts. */
export type LogicMetrics = ReturnType<typeof logicMetrics>;

/** Registers logic's metrics. */
export function logicMetrics(metrics: Metrics) {
  return {
    pushes: metrics.counter(
      'halley_logic_pushes_total',
      'Pushes by target (users, keys, room, everyone) and outcome (ok, refused, unknown).',
      ['target', 'outcome'],
    ),
    scheduled: metrics.counter(
      'halley_logic_scheduled_total',
      'Pushes with a time (push) or a group (member), by result: put, duplicate, or the error code.',
      ['kind', 'result'],
    ),
    cancels: metrics.counter(
      'halley_logic_cancels_total',
      'Calls to cancel a push, by result (cancelled, too_late, not_found).',
      ['result'],
    ),
    acceptSeconds: metrics.histogram(
      'halley_logic_push_accept_seconds',
      'From a push being read to it being durable in the bus.',
      DURATION_BUCKETS,
      ['target'],
    ),
    admissionRefusals: metrics.counter(
      'halley_logic_admission_refusals_total',
      'Pushes refused because more was on its way into the bus than push.maxInFlight or push.maxQueuedBytes allow.',
    ),
    ownerLookupFailures: metrics.counter(
      'halley_logic_owner_lookup_failures_total',
      'Pushes to keys whose owners could not be looked up: they go by key, their order to pushes by user is lost.',
    ),
    authFailures: metrics.counter(
      'halley_logic_auth_failures_total',
      'Connections refused, by the error code.',
      ['reason'],
    ),
    apiRefusals: metrics.counter(
      'halley_logic_api_refusals_total',
      'Calls of the business APIs refused for their key, by the error code.',
      ['reason'],
    ),
    connects: metrics.counter('halley_logic_connects_total', 'Connections whose route was written.'),
    kicks: metrics.counter(
      'halley_logic_kicks_total',
      'Connections that comets were asked to close, by reason (taken_over, disconnect) and outcome (ok, failed).',
      ['reason', 'outcome'],
    ),
    asks: metrics.counter(
      'halley_logic_asks_total',
      'Requests of connections with version 2, by operation (send, history, receipts, ephemeral) and outcome (ok, refused, unknown).',
      ['operation', 'outcome'],
    ),
    askSeconds: metrics.histogram(
      'halley_logic_ask_seconds',
      'From a request of a connection with version 2 being read to its answer.',
      DURATION_BUCKETS,
      ['operation'],
    ),
    traceSeconds: metrics.histogram(
      'halley_logic_trace_seconds',
      'How long it took to find out what became of a push, by its state.',
      DURATION_BUCKETS,
      ['state'],
    ),
    upstream: metrics.counter(
      'halley_logic_upstream_total',
      'Messages of clients for the business, by outcome (ok, failed).',
      ['outcome'],
    ),
    upstreamSent: metrics.counter(
      'halley_logic_upstream_sent_total',
      'Messages of clients sent to streams of UpstreamService.',
    ),
    upstreamUndecodable: metrics.counter(
      'halley_logic_upstream_undecodable_total',
      'Records of goim-receive-topic that are no upstream messages; streams pass over them.',
    ),
    sendHooks: metrics.counter(
      'halley_logic_send_hooks_total',
      'Messages of clients that hooks.sendUrl was asked about, by result (allowed, refused, failed: no answer in time or a wrong one, overloaded: not asked).',
      ['result'],
    ),
    leftOut: metrics.counter(
      'halley_logic_entries_left_out_total',
      'Entries of streams that a read left out, by reason: expired, retention (kept as long as it was to be), collapsed (a newer one has the same collapse key). Each read of a connection counts.',
      ['reason'],
    ),
    requeued: metrics.counter(
      'halley_logic_requeued_total',
      'Dead letters that were asked to be requeued, by outcome (ok, refused, unknown).',
      ['outcome'],
    ),
    httpSeconds: metrics.histogram(
      'halley_logic_http_request_seconds',
      'Requests of the HTTP APIs, /v1 and that of goim, by path and status.',
      DURATION_BUCKETS,
      ['path', 'status'],
    ),
  };
}

/** Registers what is on its way into the bus, read on each scrape. */
export function watchAdmission(
  metrics: Metrics,
  admission: { readonly inFlight: number; readonly queuedBytes: number },
): void {
  metrics.gauge('halley_logic_pushes_in_flight', 'Pushes on their way into the bus.', [], (gauge) =>
    gauge.set(admission.inFlight),
  );
  metrics.gauge('halley_logic_push_queued_bytes', 'Bodies on their way into the bus.', [], (gauge) =>
    gauge.set(admission.queuedBytes),
  );
}

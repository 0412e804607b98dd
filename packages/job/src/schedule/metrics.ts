import { DURATION_BUCKETS, type Metrics } from '@halley/service/metrics';

/** Registers the metrics of scheduled pushes. */
export function scheduleMetrics(metrics: Metrics) {
  return {
    fired: metrics.counter(
      'halley_job_schedule_fired_total',
      'Scheduled pushes that were written to the bus when they were due, by kind (push, digest).',
      ['kind'],
    ),
    refired: metrics.counter(
      'halley_job_schedule_refired_total',
      'Of these, those that a job had begun with before and not finished: the bus may have them twice, and the first counts.',
    ),
    lateness: metrics.histogram(
      'halley_job_schedule_lateness_seconds',
      'From the time of a scheduled push until it was taken up to be written, by the clock of the store.',
      DURATION_BUCKETS,
    ),
    overdue: metrics.gauge(
      'halley_job_schedule_overdue_seconds',
      'For how long the oldest scheduled push that is due has waited when it was last looked; 0 when none is due.',
      [],
    ),
    failed: metrics.counter(
      'halley_job_schedule_failed_total',
      'Scheduled pushes that cannot be delivered, by why: undecodable, or too_large for the bus. The log names them.',
      ['reason'],
    ),
    occurrences: metrics.counter(
      'halley_job_schedule_occurrences_total',
      'Occurrences of recurring pushes, by result: scheduled; missed: left out for a newer one, as after an outage; taken: left out since another push has the id.',
      ['result'],
    ),
    failures: metrics.counter(
      'halley_job_schedule_failures_total',
      'Calls that failed and were repeated, by store (schedules, bus) and error code.',
      ['store', 'code'],
    ),
    removed: metrics.counter(
      'halley_job_schedule_removed_total',
      'Schedules that were removed because they had been kept long enough.',
    ),
  };
}

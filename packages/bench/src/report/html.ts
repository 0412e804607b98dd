import type { CheckOutcome } from '../check/run.js';
import { VIOLATIONS } from '../check/verdict.js';
import { escapeHtml, svgCharts } from './chart.js';
import { card, STYLE } from './page.js';
import { reasons, resultJson } from './result.js';
import { isPassed, milliseconds, seconds, termsLine, transportsLine, violationLine } from './summary.js';
import { type Slice, timelineOf } from './timeline.js';

/** The report as one file that needs nothing else: verdict, timeline, violations, faults, and the result as JSON. */
export function htmlReport(outcome: CheckOutcome, against: string): string {
  const { verdict, log, seed, startedAt, endMs, troubles } = outcome;
  const { counts } = verdict;
  const passed = isPassed(outcome);
  const json = JSON.stringify(resultJson(outcome, against), undefined, 2);
  const title = `Halley check: ${passed ? 'passed' : 'failed'}`;
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">
<title>${title}</title><style>${STYLE}</style></head><body>
<h1 class="${passed ? 'good' : 'bad'}">${title}</h1>
<p class="sub">${escapeHtml(against)} · ${startedAt} · ${seconds(endMs)} · seed ${seed} · ${log.devices.length} devices</p>
<div class="cards">${VIOLATIONS.map((kind) => card(String(verdict.violations[kind]), kind, verdict.violations[kind] === 0 ? 'good' : 'bad')).join('')}</div>
<div class="cards" style="margin-top:.75rem">${[
    card(String(counts.ok), 'pushes OK'),
    card(String(counts.refused), 'refused'),
    card(String(counts.unknown), 'unknown'),
    card(String(counts.deliveries), 'deliveries'),
    card(String(counts.repeats), 'repeats'),
    card(String(counts.declaredGaps), 'declared gaps'),
    card(String(counts.dropped), 'dropped (ephemeral)'),
    card(seconds(counts.longestSilenceMs), 'longest silence'),
  ].join('')}</div>
<p class="sub">${escapeHtml(termsLine(outcome))}<br>${escapeHtml(transportsLine(outcome))}</p>
<h2>Timeline</h2>${timeline(outcome)}
${list('What went wrong', verdict.examples.map(violationLine))}
${list('What did not come back', troubles)}
<h2>Faults</h2>${faultTable(outcome)}
${readerTable(outcome)}
${memoryTable(outcome)}
${silenceTable(outcome)}
${reasonTable('Why pushes were refused', reasons(outcome, 'refused'))}
${reasonTable('Why pushes stayed unknown', reasons(outcome, 'unknown'))}
<h2>Result</h2><details><summary>JSON</summary><pre>${escapeHtml(json)}</pre></details>
</body></html>
`;
}

function timeline(outcome: CheckOutcome): string {
  const { slices, sliceMs, endMs } = timelineOf(outcome);
  const perSecond = (field: keyof Slice): number[] => slices.map((slice) => (slice[field] * 1_000) / sliceMs);
  const devices = (field: keyof Slice): number[] => slices.map((slice) => slice[field]);
  const faults = outcome.log.faults.map(({ name, injectedAtMs, healedAtMs }) => ({
    name,
    fromMs: injectedAtMs,
    untilMs: healedAtMs ?? endMs,
  }));
  return svgCharts({ endMs: slices.length * sliceMs, sliceMs }, faults, [
    {
      title: 'Pushes a second',
      series: [
        { name: 'OK', colour: '#12b76a', values: perSecond('ok') },
        { name: 'refused', colour: '#f79009', values: perSecond('refused') },
        { name: 'unknown', colour: '#f04438', values: perSecond('unknown') },
      ],
    },
    {
      title: 'Deliveries a second',
      series: [{ name: 'to all devices', colour: '#2e90fa', values: perSecond('deliveries') }],
    },
    {
      title: 'Devices',
      series: [
        { name: 'silent for a second or more', colour: '#9e77ed', values: devices('waiting') },
        { name: 'not connected', colour: '#f04438', values: devices('away') },
      ],
    },
  ]);
}

function faultTable({ log, schedule }: CheckOutcome): string {
  if (schedule.length === 0) return '<p>None.</p>';
  const rows = log.faults.map(
    ({ name, injectedAtMs, healedAtMs, trouble }) =>
      `<tr><td>${escapeHtml(name)}</td><td class="n">${seconds(injectedAtMs)}</td><td class="n">${healedAtMs === undefined ? 'never' : seconds(healedAtMs)}</td><td class="bad">${escapeHtml(trouble ?? '')}</td></tr>`,
  );
  return `<table><tr><th>fault</th><th class="n">from</th><th class="n">all well again at</th><th></th></tr>${rows.join('')}</table>`;
}

function silenceTable({ verdict }: CheckOutcome): string {
  const rows = verdict.silences
    .slice(0, 10)
    .map(
      ({ device, fromMs, untilMs }) =>
        `<tr><td>${escapeHtml(device)}</td><td class="n">${seconds(untilMs - fromMs)}</td><td class="n">${seconds(fromMs)}</td></tr>`,
    );
  if (rows.length === 0) return '';
  return `<h2>Longest silences</h2><p class="sub">While something that was answered OK waited for the device.</p><table><tr><th>device</th><th class="n">for</th><th class="n">from</th></tr>${rows.join('')}</table>`;
}

function readerTable({ verdict }: CheckOutcome): string {
  const rows = verdict.readers.map(
    ({ client, habit, devices, deliveries, medianMs, p99Ms }) =>
      `<tr><td>${client}, ${habit}</td><td class="n">${devices}</td><td class="n">${deliveries}</td><td class="n">${milliseconds(medianMs)}</td><td class="n">${milliseconds(p99Ms)}</td></tr>`,
  );
  return `<h2>How soon users had what was pushed to them</h2><p class="sub">From the call, or from when the device was back and read; pushes that were answered at the first call.</p><table><tr><th></th><th class="n">devices</th><th class="n">deliveries</th><th class="n">median</th><th class="n">p99</th></tr>${rows.join('')}</table>`;
}

function memoryTable({ memory }: CheckOutcome): string {
  const rows = memory.map(
    ({ node, firstMb, highestMb, lastMb }) =>
      `<tr><td>${escapeHtml(node)}</td><td class="n">${firstMb.toFixed(0)}</td><td class="n">${highestMb.toFixed(0)}</td><td class="n">${lastMb.toFixed(0)}</td></tr>`,
  );
  if (rows.length === 0) return '';
  return `<h2>Memory of the comets, in MB</h2><table><tr><th></th><th class="n">first</th><th class="n">highest</th><th class="n">last</th></tr>${rows.join('')}</table>`;
}

function reasonTable(title: string, counts: Readonly<Record<string, number>>): string {
  const rows = Object.entries(counts).map(
    ([why, count]) => `<tr><td>${escapeHtml(why)}</td><td class="n">${count}</td></tr>`,
  );
  return rows.length === 0 ? '' : `<h2>${title}</h2><table>${rows.join('')}</table>`;
}

function list(title: string, lines: readonly string[]): string {
  if (lines.length === 0) return '';
  return `<h2 class="bad">${title}</h2><ul>${lines.map((line) => `<li>${escapeHtml(line)}</li>`).join('')}</ul>`;
}

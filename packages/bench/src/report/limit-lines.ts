import type { LimitResult } from '../limit/run.js';
import type { LimitRow } from '../limit/row.js';
import { columns } from './figures.js';
import { htmlPage, htmlTable, list } from './page.js';
import { escapeHtml } from './chart.js';

const HEAD = ['', 'goim', 'target', 'figure', 'ratio', 'same run', 'target', 'reached'];

/** The table of what is to be reached, line by line. */
export function limitLines({ rows }: Pick<LimitResult, 'rows'>): string[] {
  const lines = columns([HEAD, ...rows.map(cells)]);
  return lines.flatMap((line, index) => {
    const note = rows[index - 1]?.note;
    return note ? [line, `  ${note}`] : [line];
  });
}

/** As `9 of 12 reached, 2 more for this machine`. */
export function limitVerdict({ rows }: Pick<LimitResult, 'rows'>): string {
  const count = (which: LimitRow['reached']): number =>
    rows.filter(({ reached }) => reached === which).length;
  const more = count('for this machine');
  return `${count('yes')} of ${rows.length} reached${more > 0 ? `, ${more} more for this machine` : ''}`;
}

/** What the columns mean, for those who have not read the docs. */
export const LIMIT_LEGEND =
  'target: as it was set, on another machine; same run: the figure against C’s send loop or a bare chain of the same libraries, measured ' +
  'in turns here, and the target as that ratio. “for this machine”: by that ratio alone, the target itself is missed.';

/** The same as one HTML file, with a bar for each row: how far it is from its target. */
export function limitHtml(result: LimitResult): string {
  const { rows, warnings, startedAt, rounds, isPinned } = result;
  return htmlPage({
    title: `halley bench limit: ${limitVerdict(result)}`,
    isGood: rows.every(({ reached }) => reached !== 'no'),
    subtitle: `${startedAt} · medians of ${rounds} · ${isPinned ? 'server on core 0, load on core 1' : 'not bound to cores'}`,
    parts: [
      list('What is against the figures', warnings),
      `<h2>Against the targets</h2>${bars(rows)}`,
      htmlTable('Rows', [HEAD, ...rows.map(cells)]),
      `<p class="sub">${escapeHtml(LIMIT_LEGEND)}</p>`,
      list(
        'Notes',
        rows.filter(({ note }) => note !== '').map(({ what, note }) => `${what}: ${note}`),
        '',
      ),
    ],
    result,
  });
}

function cells({ what, goim, target, figure, ratio, beside, reached }: LimitRow): string[] {
  const shown = Number.isFinite(ratio) ? ratio.toFixed(2) : '–';
  const [same = '–', its = '–'] = [beside?.figure, beside?.target].map((text) => text || undefined);
  return [what, goim || '–', target, figure, shown, same, its, reached === 'no' ? 'NO' : reached];
}

const WIDTH = 1_000;
const LABELS = 520;
const ROW = 26;
/** The target stands here; bars end at the edge at twice of it. */
const MOST = 2;

function bars(rows: readonly LimitRow[]): string {
  const scale = (WIDTH - LABELS - 60) / MOST;
  const drawn = rows.map(({ what, ratio, figure, reached }, index) => {
    const length = Math.max(1, Math.min(MOST, Number.isFinite(ratio) ? ratio : 0) * scale);
    const y = index * ROW + 8;
    return `<text x="${LABELS - 8}" y="${y + 13}" text-anchor="end">${escapeHtml(what.length > 78 ? `${what.slice(0, 77)}…` : what)}</text><rect class="${reached === 'no' ? 'missed' : reached === 'yes' ? 'reached' : 'here'}" x="${LABELS}" y="${y}" width="${length.toFixed(1)}" height="${ROW - 8}" rx="2"><title>${escapeHtml(what)}: ${escapeHtml(figure)}</title></rect><text x="${LABELS + length + 6}" y="${y + 13}">${escapeHtml(figure)}</text>`;
  });
  const height = rows.length * ROW + 12;
  const at = LABELS + scale;
  return `<svg viewBox="0 0 ${WIDTH} ${height}" role="img" aria-label="Figures against targets"><line class="grid" x1="${at}" x2="${at}" y1="0" y2="${height}"/>${drawn.join('')}</svg><p class="sub">The line is the target; paler: reached for this machine, by the ratio in the same run.</p>`;
}

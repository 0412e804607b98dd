import type { LimitResult } from '../limit/run.js';
import type { LimitRow } from '../limit/row.js';
import { columns } from './figures.js';
import { htmlPage, htmlTable, list } from './page.js';
import { escapeHtml } from './chart.js';

const HEAD = ['', 'goim', 'target', 'figure', 'ratio', 'reached'];

/** The table of what is to be reached, line by line. */
export function limitLines({ rows }: Pick<LimitResult, 'rows'>): string[] {
  const lines = columns([HEAD, ...rows.map(cells)]);
  return lines.flatMap((line, index) => {
    const note = rows[index - 1]?.note;
    return note ? [line, `  ${note}`] : [line];
  });
}

/** As `9 of 12 reached`. */
export function limitVerdict({ rows }: Pick<LimitResult, 'rows'>): string {
  return `${rows.filter(({ isReached }) => isReached).length} of ${rows.length} reached`;
}

/** The same as one HTML file, with a bar for each row: how far it is from its target. */
export function limitHtml(result: LimitResult): string {
  const { rows, warnings, startedAt, rounds, isPinned } = result;
  return htmlPage({
    title: `halley bench limit: ${limitVerdict(result)}`,
    isGood: rows.every(({ isReached }) => isReached),
    subtitle: `${startedAt} · medians of ${rounds} · ${isPinned ? 'server on core 0, load on core 1' : 'not bound to cores'}`,
    parts: [
      list('What is against the figures', warnings),
      `<h2>Against the targets</h2>${bars(rows)}`,
      htmlTable('Rows', [HEAD, ...rows.map(cells)]),
      list(
        'Notes',
        rows.filter(({ note }) => note !== '').map(({ what, note }) => `${what}: ${note}`),
        '',
      ),
    ],
    result,
  });
}

function cells({ what, goim, target, figure, ratio, isReached }: LimitRow): string[] {
  const shown = Number.isFinite(ratio) ? ratio.toFixed(2) : '–';
  return [what, goim || '–', target, figure, shown, isReached ? 'yes' : 'NO'];
}

const WIDTH = 1_000;
const LABELS = 520;
const ROW = 26;
/** The target stands here; bars end at the edge at twice of it. */
const MOST = 2;

function bars(rows: readonly LimitRow[]): string {
  const scale = (WIDTH - LABELS - 60) / MOST;
  const drawn = rows.map(({ what, ratio, figure, isReached }, index) => {
    const length = Math.max(1, Math.min(MOST, Number.isFinite(ratio) ? ratio : 0) * scale);
    const y = index * ROW + 8;
    return `<text x="${LABELS - 8}" y="${y + 13}" text-anchor="end">${escapeHtml(what.length > 78 ? `${what.slice(0, 77)}…` : what)}</text><rect class="${isReached ? 'reached' : 'missed'}" x="${LABELS}" y="${y}" width="${length.toFixed(1)}" height="${ROW - 8}" rx="2"><title>${escapeHtml(what)}: ${escapeHtml(figure)}</title></rect><text x="${LABELS + length + 6}" y="${y + 13}">${escapeHtml(figure)}</text>`;
  });
  const height = rows.length * ROW + 12;
  const at = LABELS + scale;
  return `<svg viewBox="0 0 ${WIDTH} ${height}" role="img" aria-label="Figures against targets"><line class="grid" x1="${at}" x2="${at}" y1="0" y2="${height}"/>${drawn.join('')}</svg><p class="sub">The line is the target.</p>`;
}

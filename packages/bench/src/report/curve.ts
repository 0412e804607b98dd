import { escapeHtml, plotHead, round } from './chart.js';

/** A line of a plot: points from left to right. */
export interface Curve {
  readonly name: string;
  readonly colour: string;
  readonly points: readonly { readonly x: number; readonly y: number; readonly label: string }[];
}

const WIDTH = 1_000;
const LEFT = 70;
const RIGHT = 24;
const TOP = 34;
const HEIGHT = 220;
const FOOT = 26;

/**
 * A plot of curves with an axis of times that is logarithmic (percentiles of latency span thousands), as SVG. `ticks` stand below: where, and
 * what is written there.
 */
export function svgCurves(
  title: string,
  curves: readonly Curve[],
  ticks: readonly { readonly x: number; readonly text: string }[],
): string {
  const points = curves.flatMap((curve) => curve.points);
  if (points.length === 0) return '';
  const places = [...ticks, ...points].map(({ x }) => x);
  const [lowest, highest] = [Math.min(...places), Math.max(...places)];
  const values = points.map(({ y }) => Math.max(y, 0.001));
  const bottom = Math.floor(Math.log10(Math.min(...values)));
  const top = Math.max(bottom + 1, Math.ceil(Math.log10(Math.max(...values))));
  const xOf = (x: number): number =>
    round(LEFT + ((x - lowest) / Math.max(1e-9, highest - lowest)) * (WIDTH - LEFT - RIGHT));
  const yOf = (y: number): number =>
    round(TOP + HEIGHT - ((Math.log10(Math.max(y, 0.001)) - bottom) / (top - bottom)) * HEIGHT);
  const grid = Array.from({ length: top - bottom + 1 }, (_, index) => {
    const value = 10 ** (bottom + index);
    const y = yOf(value);
    return `<line class="grid" x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${y}" y2="${y}"/><text class="tick" x="${LEFT - 6}" y="${y + 4}" text-anchor="end">${timeText(value)}</text>`;
  });
  const below = ticks.map(
    ({ x, text }) =>
      `<text class="tick" x="${xOf(x)}" y="${TOP + HEIGHT + 18}" text-anchor="middle">${escapeHtml(text)}</text>`,
  );
  const lines = curves.map(
    ({ name, colour, points: of }) =>
      `<polyline fill="none" stroke="${colour}" points="${of.map(({ x, y }) => `${xOf(x)},${yOf(y)}`).join(' ')}"><title>${escapeHtml(name)}</title></polyline>${of
        .map(
          ({ x, y, label }) =>
            `<circle cx="${xOf(x)}" cy="${yOf(y)}" r="3" fill="${colour}"><title>${escapeHtml(label)}</title></circle>`,
        )
        .join('')}`,
  );
  return `<svg viewBox="0 0 ${WIDTH} ${TOP + HEIGHT + FOOT}" role="img" aria-label="${escapeHtml(title)}">${plotHead(title, curves, LEFT, 16)}${grid.join('')}${below.join('')}${lines.join('')}</svg>`;
}

function timeText(ms: number): string {
  if (ms >= 1_000) return `${ms / 1_000} s`;
  return ms >= 1 ? `${ms} ms` : `${Number((ms * 1_000).toPrecision(1))} µs`;
}

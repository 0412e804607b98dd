/** One line of a chart, a value for each slice. */
export interface Series {
  readonly name: string;
  readonly colour: string;
  /** NaN where there is none: the line has a gap there. */
  readonly values: readonly number[];
}

/** A time that stands as a bar above the charts, or as a band behind them. */
export interface Band {
  readonly name: string;
  readonly fromMs: number;
  readonly untilMs: number;
}

export interface Axis {
  readonly endMs: number;
  readonly sliceMs: number;
}

const WIDTH = 1_000;
const LEFT = 60;
const RIGHT = 16;
const HEIGHT = 120;
const ROW = 18;
const GRID_LINES = 4;

/** Charts below each other with one axis of time, as SVG: a row for each fault, then a chart for each group of series. */
export function svgCharts(
  axis: Axis,
  faults: readonly Band[],
  charts: readonly { readonly title: string; readonly series: readonly Series[] }[],
): string {
  const top = 24;
  const faultsHeight = faults.length > 0 ? faults.length * ROW + 12 : -12;
  const chartsTop = top + faultsHeight;
  const height = chartsTop + charts.length * (HEIGHT + 44) + 24;
  const x = (ms: number): number => round(LEFT + (ms / axis.endMs) * (WIDTH - LEFT - RIGHT));
  const bands = faults.map(
    ({ fromMs, untilMs }) =>
      `<rect class="band" x="${x(fromMs)}" y="${chartsTop}" width="${width(x, fromMs, untilMs)}" height="${height - chartsTop - 24}"/>`,
  );
  const bars = faults.map(({ name, fromMs, untilMs }, row) => {
    const y = top + row * ROW;
    const isLate = fromMs > axis.endMs / 2;
    const textX = isLate ? x(fromMs) - 6 : x(untilMs) + 6;
    return `<g><rect class="fault" x="${x(fromMs)}" y="${y}" width="${width(x, fromMs, untilMs)}" height="${ROW - 5}" rx="2"><title>${escapeHtml(name)}: ${seconds(fromMs)} to ${seconds(untilMs)}</title></rect><text x="${textX}" y="${y + 11}" text-anchor="${isLate ? 'end' : 'start'}">${escapeHtml(name)}</text></g>`;
  });
  const plots = charts.map(({ title, series }, index) =>
    plot(axis, title, series, chartsTop + index * (HEIGHT + 44) + 28, x),
  );
  return `<svg viewBox="0 0 ${WIDTH} ${height}" role="img" aria-label="Over time">${bands.join('')}${bars.join('')}${plots.join('')}${timeTicks(axis, height - 8, x)}</svg>`;
}

function plot(
  { sliceMs }: Axis,
  title: string,
  series: readonly Series[],
  top: number,
  x: (ms: number) => number,
): string {
  const highest = niceCeiling(
    Math.max(1, ...series.flatMap(({ values }) => values.filter((value) => !Number.isNaN(value)))),
  );
  const y = (value: number): number => round(top + HEIGHT - (value / highest) * HEIGHT);
  const grid = Array.from({ length: GRID_LINES + 1 }, (_, index) => {
    const value = (highest * index) / GRID_LINES;
    return `<line class="grid" x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${y(value)}" y2="${y(value)}"/><text class="tick" x="${LEFT - 6}" y="${y(value) + 4}" text-anchor="end">${Number(value.toFixed(1)).toLocaleString('en-US')}</text>`;
  });
  const lines = series.map(({ name, colour, values }) => {
    const pieces: string[][] = [[]];
    for (const [index, value] of values.entries()) {
      if (Number.isNaN(value)) pieces.push([]);
      else
        pieces.at(-1)?.push(`${x(index * sliceMs)},${y(value)}`, `${x((index + 1) * sliceMs)},${y(value)}`);
    }
    return pieces
      .filter((points) => points.length > 0)
      .map(
        (points) =>
          `<polyline fill="none" stroke="${colour}" points="${points.join(' ')}"><title>${escapeHtml(name)}</title></polyline>`,
      )
      .join('');
  });
  return `<g>${plotHead(title, series, LEFT, top - 10)}${grid.join('')}${lines.join('')}</g>`;
}

/** The title of a plot with the names of its lines in their colours; a single line without a name needs none. */
export function plotHead(
  title: string,
  lines: readonly Pick<Series, 'name' | 'colour'>[],
  left: number,
  y: number,
): string {
  let at = left + 8 * title.length + 16;
  const legend = lines.map(({ name, colour }) => {
    if (name === '') return '';
    const entry = `<text x="${at}" y="${y}" style="fill:${colour}">● ${escapeHtml(name)}</text>`;
    at += 8 * name.length + 28;
    return entry;
  });
  return `<text class="title" x="${left}" y="${y}">${escapeHtml(title)}</text>${legend.join('')}`;
}

function timeTicks({ endMs }: Axis, y: number, x: (ms: number) => number): string {
  const stepMs = niceCeiling(endMs / 10_000) * 1_000;
  const ticks: string[] = [];
  for (let ms = 0; ms <= endMs; ms += stepMs)
    ticks.push(`<text class="tick" x="${x(ms)}" y="${y}" text-anchor="middle">${ms / 1_000} s</text>`);
  return ticks.join('');
}

/** 1, 2 or 5 times a power of ten, not below the value. */
function niceCeiling(value: number): number {
  const power = 10 ** Math.floor(Math.log10(value));
  return ([1, 2, 5, 10].find((factor) => factor * power >= value) ?? 10) * power;
}

function width(x: (ms: number) => number, fromMs: number, untilMs: number): number {
  return round(Math.max(2, x(untilMs) - x(fromMs)));
}

/** To a tenth of a pixel. */
export function round(value: number): number {
  return Math.round(value * 10) / 10;
}

function seconds(ms: number): string {
  return `${(ms / 1_000).toFixed(1)} s`;
}

/** Text for HTML and SVG. */
export function escapeHtml(text: string): string {
  return text.replace(
    /[&<>"']/g,
    (char) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' })[char] ?? char,
  );
}

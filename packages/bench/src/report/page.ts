import { escapeHtml } from './chart.js';

/** Of every report: one file that needs nothing else, light and dark. */
export const STYLE = `
:root{color-scheme:light dark;--ink:#1b1f24;--soft:#667085;--line:#d0d5dd;--page:#fff;--good:#067647;--bad:#b42318;--fault:#d92d20}
@media(prefers-color-scheme:dark){:root{--ink:#e6e8eb;--soft:#98a2b3;--line:#344054;--page:#101418;--good:#47cd89;--bad:#f97066}}
body{font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--page);margin:2rem auto;max-width:1080px;padding:0 1rem}
h1{font-size:1.5rem;margin:0}h2{font-size:1.1rem;margin:2rem 0 .5rem}p.sub{color:var(--soft);margin:.2rem 0 1.5rem}
.good{color:var(--good)}.bad{color:var(--bad)}
.cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:.75rem}
.card{border:1px solid var(--line);border-radius:8px;padding:.6rem .9rem}.card b{display:block;font-size:1.6rem;font-variant-numeric:tabular-nums}.card span{color:var(--soft)}
svg{width:100%;height:auto;font:12px system-ui,sans-serif}svg text{fill:var(--ink)}svg .tick{fill:var(--soft)}svg .title{font-weight:600}
svg .grid{stroke:var(--line);stroke-width:.6}svg .band{fill:var(--fault);opacity:.08}svg .fault{fill:var(--fault);opacity:.75}svg polyline{stroke-width:1.4}
svg .reached{fill:var(--good)}svg .here{fill:var(--good);opacity:.5}svg .missed{fill:var(--bad)}
table{border-collapse:collapse;width:100%}td,th{text-align:left;border-bottom:1px solid var(--line);padding:.3rem .6rem .3rem 0;vertical-align:top}
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}td.n{white-space:nowrap}.wide{overflow-x:auto}pre{overflow:auto;border:1px solid var(--line);border-radius:8px;padding:.8rem;font-size:12px}
`;

export interface Page {
  readonly title: string;
  readonly isGood: boolean;
  /** Below the title, in plain text. */
  readonly subtitle: string;
  /** HTML. */
  readonly parts: readonly string[];
  /** Shown as JSON at the end. */
  readonly result: object;
}

/** A report as one file. */
export function htmlPage({ title, isGood, subtitle, parts, result }: Page): string {
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">
<title>${escapeHtml(title)}</title><style>${STYLE}</style></head><body>
<h1 class="${isGood ? 'good' : 'bad'}">${escapeHtml(title)}</h1>
<p class="sub">${escapeHtml(subtitle)}</p>
${parts.filter(Boolean).join('\n')}
<h2>Result</h2><details><summary>JSON</summary><pre>${escapeHtml(JSON.stringify(result, undefined, 2))}</pre></details>
</body></html>
`;
}

export function card(value: string, name: string, kind = ''): string {
  return `<div class="card"><b class="${kind}">${escapeHtml(value)}</b><span>${escapeHtml(name)}</span></div>`;
}

export function cards(all: readonly string[]): string {
  return `<div class="cards" style="margin-top:.75rem">${all.join('')}</div>`;
}

export function list(title: string, lines: readonly string[], kind = 'bad'): string {
  if (lines.length === 0) return '';
  return `<h2 class="${kind}">${escapeHtml(title)}</h2><ul>${lines.map((line) => `<li>${escapeHtml(line)}</li>`).join('')}</ul>`;
}

/** All columns but the first are numbers. */
export function htmlTable(title: string, rows: readonly (readonly string[])[]): string {
  const [head = [], ...body] = rows;
  const row = (cells: readonly string[], tag: 'td' | 'th'): string =>
    `<tr>${cells.map((cell, column) => `<${tag}${column > 0 ? ' class="n"' : ''}>${escapeHtml(cell)}</${tag}>`).join('')}</tr>`;
  return `<h2>${escapeHtml(title)}</h2><div class="wide"><table>${row(head, 'th')}${body.map((cells) => row(cells, 'td')).join('')}</table></div>`;
}

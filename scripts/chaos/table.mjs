const VIOLATIONS = ['lost', 'shown twice', 'out of order', 'phantom', 'wrong user', 'untimely'];
const HEADS = [
  'round',
  'faults',
  'ok',
  'refused',
  'unknown',
  'deliveries',
  'repeats',
  'gaps',
  'p99 ms',
  'silence s',
  'comet MB',
];

/** The figures of a round, from what `halley check --json` printed; without that, why there are none. */
export function figuresOf(name, result, trouble = '') {
  if (!result) return { name, passed: false, why: `no result: ${trouble.trim()}`, cells: [] };
  const { counts, violations, troubles, faults, readers, memory } = result;
  const p99 = Math.max(0, ...readers.filter(({ habit }) => habit === 'stays').map(({ p99Ms }) => p99Ms));
  const broken = VIOLATIONS.filter((kind) => violations[kind] > 0).map(
    (kind) => `${kind} ${violations[kind]}`,
  );
  return {
    name,
    passed: result.passed,
    why: [...broken, ...troubles].join('; '),
    cells: [
      faults.length,
      counts.ok,
      counts.refused,
      counts.unknown,
      counts.deliveries,
      counts.repeats,
      counts.declaredGaps,
      Math.round(p99),
      (counts.longestSilenceMs / 1_000).toFixed(1),
      Math.round(Math.max(0, ...memory.map(({ highestMb }) => highestMb))),
    ].map(String),
  };
}

/** A line a round: its figures, then `passed` or what went wrong. */
export function tableOf(results) {
  const rows = [
    [...HEADS, 'result'],
    ...results.map(({ name, cells, passed, why }) => [
      name,
      ...HEADS.slice(1).map((_, index) => cells[index] ?? ''),
      passed ? 'passed' : why,
    ]),
  ];
  const widths = HEADS.map((_, column) => Math.max(...rows.map((row) => row[column].length)));
  return rows
    .map((row) =>
      row
        .map((cell, column) => {
          if (column === HEADS.length) return cell;
          return column === 0 ? cell.padEnd(widths[0]) : cell.padStart(widths[column]);
        })
        .join('  '),
    )
    .join('\n');
}

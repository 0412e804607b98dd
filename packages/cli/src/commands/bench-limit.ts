import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

import type { ClusterFile } from '@halley/bench/faults/cluster-file';
import type { LimitPart, LimitResult } from '@halley/bench/limit/run';
import type { Command } from 'commander';

import { listOf, oneOf, wholeNumber } from '../arguments.js';
import { StatusLine } from '../status-line.js';
import { colours, note, print } from '../terminal.js';

/** As `LIMIT_PARTS`, which is loaded when it is needed. */
const PARTS = [
  'fan-out',
  'room',
  'most',
  'memory',
  'users',
  'connect',
] as const satisfies readonly LimitPart[];
const HALLEY = fileURLToPath(new URL('../../bin/halley.js', import.meta.url));

const COLOUR = { yes: colours.green, 'for this machine': colours.yellow, no: colours.red };

interface LimitOptions {
  readonly against?: string;
  readonly portOffset: number;
  readonly quick?: true;
  readonly only?: LimitPart[];
  readonly rounds?: number;
  readonly json?: string;
  readonly html?: string;
}

const NOTES = `
Without --against it starts a cluster of its own: the real Kafka, ZooKeeper, Redis and MariaDB, and one of each
tier. Comets that are measured are fresh ones that join it. Where there is taskset, the server has core 0 and
everything else core 1. Needs cc, for the C send loop.

Rows are held against what this machine gave C's send loop, or a bare chain of the same libraries, in the same run
too: the targets were set on another machine.

Exit code: 0 when every row is reached, by itself or for this machine; 1 when not.`;

/** `halley bench limit`: the table of targets, against what the kernel itself takes. */
export function registerBenchLimit(bench: Command): void {
  bench
    .command('limit')
    .description('the targets, row by row, against a C send loop in the same session')
    .option('--against <file>', 'cluster.json of a cluster on this machine, instead of one of its own')
    .option('--port-offset <n>', 'added to the ports of its own cluster', wholeNumber(0, 60_000), 4_000)
    .option('--quick', 'one round, a few seconds a row')
    .option('--only <list>', `of ${PARTS.join(', ')}`, listOf(oneOf(...PARTS)))
    .option('--rounds <n>', 'of which the median is taken (default: 5, of --quick 1)', wholeNumber(1, 100))
    .option('--json <file>', 'write the result as JSON; - prints it, and nothing else')
    .option('--html <file>', 'write the table with a picture, as one HTML file')
    .addHelpText('after', NOTES)
    .action(async (options: LimitOptions) => {
      process.exitCode = await limit(options);
    });
}

async function limit(options: LimitOptions): Promise<number> {
  const [{ runLimit }, { LIMIT_LEGEND, limitHtml, limitLines, limitVerdict }, { sampleLine }] =
    await Promise.all([
      import('@halley/bench/limit/run'),
      import('@halley/bench/report/limit-lines'),
      import('@halley/bench/report/bench-lines'),
    ]);
  const isQuiet = options.json === '-';
  const status = new StatusLine();
  const say = (text: string): void => {
    if (isQuiet) return;
    status.clear();
    print(text);
  };
  const end = new AbortController();
  const stop = (): void => end.abort();
  process.once('SIGINT', stop).once('SIGTERM', stop);
  const deps = await parts(options, say);
  let result: LimitResult;
  try {
    result = await withCluster(options, say, (file) =>
      runLimit(
        {
          ...deps,
          file,
          command: [process.execPath, HALLEY],
          signal: end.signal,
          onProgress: (progress) => {
            if (progress.kind === 'phase') say(colours.dim(progress.text));
            else if (!isQuiet) status.show(sampleLine(progress.sample));
          },
        },
        options.only ?? PARTS,
        ({ what, figure, target, beside, reached }) =>
          say(
            `${COLOUR[reached](figure)}  ${what} (${[target, beside?.figure, beside?.target].filter(Boolean).join(', ')})`,
          ),
      ),
    );
  } finally {
    status.clear();
    await deps.beat.close();
  }
  if (options.html !== undefined) await writeFile(options.html, limitHtml(result));
  const json = `${JSON.stringify(result, undefined, 2)}\n`;
  if (options.json !== undefined && !isQuiet) await writeFile(options.json, json);
  if (isQuiet) process.stdout.write(json);
  else {
    print('');
    for (const line of limitLines(result)) print(line);
    if (result.rows.length > 0) print(colours.dim(LIMIT_LEGEND));
    for (const warning of result.warnings) print(colours.yellow(warning));
    print(colours.bold(limitVerdict(result)));
  }
  if (end.signal.aborted) note('halley: ended early; what was measured until then is told');
  const isReached = result.rows.length > 0 && result.rows.every(({ reached }) => reached !== 'no');
  return isReached && !end.signal.aborted ? 0 : 1;
}

async function parts({ quick, rounds }: LimitOptions, say: (text: string) => void) {
  const [{ startLoadSide }, { ThreadBeat }, { FULL, QUICK }, { openPin }] = await Promise.all([
    import('@halley/bench/load/load-side'),
    import('@halley/bench/pace/beat'),
    import('@halley/bench/limit/lab'),
    import('@halley/bench/limit/pin'),
  ]);
  const scale = quick ? QUICK : FULL;
  return {
    startLoad: (plan: Parameters<typeof startLoadSide>[0]) => startLoadSide(plan, { say }),
    beat: new ThreadBeat(),
    pin: await openPin(),
    scale: { ...scale, rounds: rounds ?? scale.rounds, freshRounds: rounds ?? scale.freshRounds },
  };
}

/** The cluster that is named, or one that ends with this. */
async function withCluster<Result>(
  { against, portOffset }: LimitOptions,
  say: (text: string) => void,
  use: (file: ClusterFile) => Promise<Result>,
): Promise<Result> {
  const { readClusterFile } = await import('@halley/bench/faults/cluster-file');
  if (against !== undefined) return use(await readClusterFile(against));
  const { LocalCluster } = await import('../cluster/local-cluster.js');
  const dir = await mkdtemp(path.join(os.tmpdir(), 'halley-limit-'));
  const cluster = new LocalCluster({ dir, portOffset, nodes: { comet: 1, logic: 1, job: 1 }, say });
  try {
    await cluster.start();
    return await use(await readClusterFile(cluster.stateFile.file));
  } finally {
    await cluster.stop(10_000);
    await rm(dir, { recursive: true, force: true });
  }
}

import { stat, writeFile } from 'node:fs/promises';

import type { BenchProgress } from '@halley/bench/scenario/progress';
import type { BenchResult } from '@halley/bench/scenario/result';
import type { ScenarioName } from '@halley/bench/scenario/options';
import type { BenchTarget, TargetAddresses } from '@halley/bench/scenario/target';
import { HalleyError } from '@halley/protocol/error';
import type { Command } from 'commander';

import { StatusLine } from '../status-line.js';
import { colours, note, print } from '../terminal.js';
import { registerBenchLimit } from './bench-limit.js';
import {
  addScenarioOptions,
  benchOptions,
  type ScenarioOptions,
  type TargetOptions,
} from './bench-options.js';

const CLUSTER_FILE = '.halley/cluster.json';

const ABOUT: Readonly<Record<ScenarioName, string>> = {
  connect: 'how many connections a second are authenticated; --storm: all at once',
  idle: 'the memory that a connection takes while nothing is pushed',
  room: 'pushes to rooms: one message to every member',
  users: 'pushes to single users',
  mixed: 'pushes to rooms and users',
  ramp: 'a room of 1,000, 2,000, 4,000 … members, up to the descriptor limit',
  soak: 'mixed for a long time: does memory grow, does latency stay',
};

const EXAMPLES = `
Examples:
  halley bench room -n 10000 --rate 40            the cluster of this folder, or halley start at its usual ports
  halley bench users --rate 5000 --html users.html
  halley bench room --target 10.0.0.1             goim, or whoever speaks its protocol
  halley bench room --target 10.0.0.1 --via comet straight to comet, as goim's job does
  halley bench connect --storm -n 10000
  halley bench limit --quick                      the table of targets, against a C send loop in the same run

Exit code: 0 when nothing was lost, out of order or refused, and all connections stayed; 1 when not.
docs/benchmarking.md says what each line means.`;

/** `halley bench`: how fast a server of the goim protocol is, and what it costs. */
export function registerBench(program: Command): void {
  const bench = program
    .command('bench')
    .description('measure a cluster, goim, or any server of the goim protocol')
    .helpCommand(false)
    .addHelpText('after', EXAMPLES);
  for (const [scenario, about] of Object.entries(ABOUT) as [ScenarioName, string][])
    addScenarioOptions(bench.command(scenario).description(about), scenario).action(
      async (options: ScenarioOptions) => {
        process.exitCode = await run(scenario, options);
      },
    );
  registerBenchLimit(bench);
}

async function run(scenario: ScenarioName, options: ScenarioOptions): Promise<number> {
  const [
    { runBench },
    { startLoadSide },
    { ThreadBeat },
    { benchLines, sampleLine, verdictText },
    { benchHtml },
  ] = await Promise.all([
    import('@halley/bench/scenario/run'),
    import('@halley/bench/load/load-side'),
    import('@halley/bench/pace/beat'),
    import('@halley/bench/report/bench-lines'),
    import('@halley/bench/report/bench-html'),
  ]);
  const target = await targetOf(options);
  const plan = benchOptions(scenario, options, target);
  const isQuiet = options.json === '-';
  const status = new StatusLine();
  const end = new AbortController();
  const stop = (): void => end.abort();
  process.once('SIGINT', stop).once('SIGTERM', stop);
  const say = (text: string): void => {
    if (isQuiet) return;
    status.clear();
    print(text);
  };
  say(`Measuring ${target.name}: ${scenario}`);
  const beat = new ThreadBeat();
  let result: BenchResult;
  try {
    result = await runBench(plan, {
      startLoad: (load) => startLoadSide(load, { say }),
      beat,
      signal: end.signal,
      onProgress: (progress: BenchProgress) => {
        if (progress.kind === 'phase') say(colours.dim(progress.text));
        else if (!isQuiet) status.show(sampleLine(progress.sample));
      },
    });
  } finally {
    status.clear();
    await beat.close();
  }
  if (options.html !== undefined) await writeFile(options.html, benchHtml(result));
  const json = `${JSON.stringify(result, undefined, 2)}\n`;
  if (options.json !== undefined && !isQuiet) await writeFile(options.json, json);
  if (isQuiet) process.stdout.write(json);
  else {
    for (const line of benchLines(result)) print(line);
    for (const warning of result.warnings) print(colours.yellow(warning));
    print((result.faults.length === 0 ? colours.green : colours.red)(colours.bold(verdictText(result))));
    if (options.html !== undefined) print(`The report is ${options.html}`);
  }
  if (end.signal.aborted) note('halley: ended early; what was measured until then is told');
  return result.faults.length === 0 && !end.signal.aborted ? 0 : 1;
}

/** What is named; else the cluster of this folder, where one runs, else what listens on the usual ports of this machine. */
export async function targetOf(options: TargetOptions): Promise<BenchTarget> {
  const [{ clusterTarget, hostTarget, parsePid, withPids }, { readClusterFile }] = await Promise.all([
    import('@halley/bench/scenario/target'),
    import('@halley/bench/faults/cluster-file'),
  ]);
  const { target, against, tcp, ws, http, grpc, cometGrpc } = options;
  const given = Object.entries({ tcp, ws, http, grpc, cometGrpc }).flatMap(([kind, text]) =>
    text === undefined ? [] : [[kind, text] as const],
  );
  if (target !== undefined && against !== undefined)
    throw new HalleyError('invalid_argument', '--target and --against name two servers: give one');
  const isFile =
    target === undefined &&
    given.length === 0 &&
    (await stat(CLUSTER_FILE).catch(() => undefined)) !== undefined;
  const file = against ?? (isFile ? CLUSTER_FILE : undefined);
  if (file !== undefined && given.length > 0)
    throw new HalleyError(
      'invalid_argument',
      `--${given[0]?.[0]} goes with --target; ${file} has its own addresses`,
    );
  const pids = (options.pid ?? []).map(parsePid);
  if (file !== undefined) return withPids(clusterTarget(await readClusterFile(file)), pids);
  const host = target ?? '127.0.0.1';
  const addresses: TargetAddresses = Object.fromEntries(
    given.map(([kind, text]) => [kind, /^\d+$/.test(text) ? `${host}:${text}` : text]),
  );
  return withPids(await hostTarget(host, addresses), pids);
}

import { randomInt } from 'node:crypto';
import { stat, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';

import type { CheckOptions, CheckOutcome, Progress } from '@halley/bench/check/run';
import type { ClientKind } from '@halley/bench/device/device';
import { HalleyError } from '@halley/protocol/error';
import { type Command, Option } from 'commander';

import { listOf, oneOf, wholeNumber } from '../arguments.js';
import { colours, note, print } from '../terminal.js';

interface CheckCommandOptions {
  readonly against: string[];
  readonly faults?: string;
  readonly duration: number;
  readonly rate: number;
  readonly users: number;
  readonly rooms: number;
  readonly restless: number;
  readonly maxBody: number;
  readonly clients?: ClientKind[];
  readonly seed?: number;
  readonly settle: number;
  readonly apiKey?: string;
  readonly report?: string;
  readonly json?: true;
}

const HALLEY = fileURLToPath(new URL('../../bin/halley.js', import.meta.url));
const DEFAULT_FAULTS = 'tiers';

const EXAMPLES = `
Faults, each for a while (kill-comet:5 is 5 seconds), drawn from the seed in an order of their own:
  kill-comet, kill-logic, kill-job    kill -9 one, each in turn, start it again       (2 s)
  kill-random                         kill -9 any one, start it again                 (2 s)
  kill-all                            all of them at once                             (2 s)
  pause-comet, pause-logic, pause-job SIGSTOP one, each in turn                       (30 s)
  restart-kafka, -redis, -zookeeper, -mariadb   kill -9 it, start it again; Redis is empty, unless
                                      the bus is in it   (3 s)
  pause-kafka, -redis, -zookeeper, -mariadb     SIGSTOP it                            (15 s)
  redis-flush                         FLUSHALL
  expire-sessions                     the ZooKeeper sessions of all nodes end, while the nodes live
  partition-comet, -logic             the other tiers cannot reach one, each in turn  (15 s)
  partition-redis, -zookeeper, -mariadb   one node cannot reach it, each in turn      (15 s)
                                      for partitions the nodes are started anew before and after, with relays between
  drop-clients                        all clients lose their connections at once
  churn-client                        one client reconnects over and over, to the next comet     (10 s)
Groups: tiers (kill-comet, kill-logic, kill-job, drop-clients), pauses, services, partitions, all,
none.

Examples:
  halley check                                    the cluster of this folder, ${DEFAULT_FAULTS}, one minute
  halley check --faults kill-job,redis-flush --duration 120 --seed 7 --report check.html
  halley check --against 10.0.0.1,10.0.0.2 --faults drop-clients

Exit code: 0 when nothing was lost, shown twice, out of order, phantom, to the wrong user, or untimely, and all came
back; 1 when not. docs/checking.md says what is pushed, what is promised, and how it is judged.`;

/** `halley check`: pushes numbers, breaks the cluster, and judges what clients were shown. */
export function registerCheck(program: Command): void {
  program
    .command('check')
    .description('push numbered messages while the cluster is broken, and prove that none is lost')
    .addOption(
      new Option(
        '--against <cluster>',
        'cluster.json of a cluster on this machine; or hosts, or tcp://, ws://, grpc:// and http://host:port',
      )
        .argParser(addresses)
        .default(['.halley/cluster.json'], '.halley/cluster.json'),
    )
    .option(
      '--faults <list>',
      `what is broken, see below (default: ${DEFAULT_FAULTS}; none without cluster.json)`,
    )
    .option('--duration <s>', 'seconds of pushing', wholeNumber(1, 604_800), 60)
    .option('--rate <n>', 'pushes a second', wholeNumber(1, 100_000), 100)
    .option('--users <n>', 'users; every fourth has two devices', wholeNumber(1, 100_000), 40)
    .option('--rooms <n>', 'rooms that the users are in', wholeNumber(0, 10_000), 8)
    .option(
      '--restless <percent>',
      'of the clients: they come and go, reconnect, stop reading for a while or read slowly',
      wholeNumber(0, 100),
      30,
    )
    .option(
      '--clients <list>',
      'what the clients are, in turn: goim (version 1), sdk (version 2); default both',
      listOf(oneOf('goim', 'sdk')),
    )
    .option('--max-body <bytes>', 'bodies are of all sizes up to this', wholeNumber(1, 1_000_000), 400)
    .option('--seed <n>', 'draws users, faults and pushes; default a fresh one', wholeNumber(0, 2 ** 31 - 1))
    .option(
      '--settle <s>',
      'seconds to wait at the end while nothing comes and something is missing',
      wholeNumber(1, 3_600),
      45,
    )
    .addOption(new Option('--api-key <key>', 'API key, where logic asks for one').env('HALLEY_API_KEY'))
    .option('--report <file>', 'write a report with a timeline, as one HTML file')
    .option('--json', 'print the result as JSON, and nothing else')
    .addHelpText('after', EXAMPLES)
    .action(async (options: CheckCommandOptions) => {
      process.exitCode = await check(options);
    });
}

async function check(options: CheckCommandOptions): Promise<number> {
  const [{ runCheck }, { htmlReport }, { resultJson }, { isPassed }] = await Promise.all([
    import('@halley/bench/check/run'),
    import('@halley/bench/report/html'),
    import('@halley/bench/report/result'),
    import('@halley/bench/report/summary'),
  ]);
  const seed = options.seed ?? randomInt(2 ** 31);
  const say = options.json ? () => undefined : print;
  const end = new AbortController();
  const stop = (): void => end.abort();
  process.once('SIGINT', stop).once('SIGTERM', stop);
  const against = options.against.join(', ');
  say(`Checking ${against} with seed ${seed}`);
  const outcome = await runCheck({
    ...(await target(options)),
    durationMs: options.duration * 1_000,
    perSecond: options.rate,
    users: options.users,
    rooms: options.rooms,
    restlessPercent: options.restless,
    maxBodyBytes: options.maxBody,
    clients: options.clients ?? ['goim', 'sdk'],
    seed,
    patienceMs: options.settle * 1_000,
    ...(options.apiKey === undefined ? {} : { apiKey: options.apiKey }),
    signal: end.signal,
    onProgress: (progress) => tell(progress, say),
  });
  if (options.report !== undefined) await writeFile(options.report, htmlReport(outcome, against));
  if (options.json) print(JSON.stringify(resultJson(outcome, against), undefined, 2));
  else await conclude(outcome, options.report);
  if (end.signal.aborted) note('halley: ended early; what was pushed until then was judged');
  return isPassed(outcome) && !end.signal.aborted ? 0 : 1;
}

/** Where the check goes, and what it can break there. */
async function target({
  against,
  faults,
}: CheckCommandOptions): Promise<Pick<CheckOptions, 'addresses' | 'targets' | 'faults'>> {
  const [
    { clusterAddresses, parseAddresses },
    { readClusterFile },
    { clusterSlots, requireClientFaults },
    { parseFaults },
  ] = await Promise.all([
    import('@halley/bench/check/addresses'),
    import('@halley/bench/faults/cluster-file'),
    import('@halley/bench/faults/cluster-slots'),
    import('@halley/bench/faults/fault-list'),
  ]);
  const [path = ''] = against;
  const isFile =
    against.length === 1 &&
    (path.endsWith('.json') || (await stat(path).catch(() => undefined)) !== undefined);
  if (!isFile) {
    const choices = parseFaults(faults ?? 'none');
    requireClientFaults(choices);
    return { addresses: parseAddresses(against), targets: { nodes: [], services: [] }, faults: choices };
  }
  const { ClusterStateFile } = await import('../cluster/state-file.js');
  // A misspelt one is told first of all.
  parseFaults(faults ?? DEFAULT_FAULTS);
  const file = await readClusterFile(path);
  const choices = parseFaults(faults ?? DEFAULT_FAULTS, file.bus);
  const targets = clusterSlots(file, {
    command: [process.execPath, HALLEY],
    onServiceRestarted: (service, pid) =>
      new ClusterStateFile(path).update((state) => ({
        ...state,
        services: { ...state.services, [service]: { ...state.services[service], pid } },
      })),
  });
  return { addresses: clusterAddresses(file), targets, faults: choices };
}

function tell(progress: Progress, say: (line: string) => void): void {
  const at = (ms: number): string => colours.dim(`${(ms / 1_000).toFixed(1).padStart(7)} s`);
  switch (progress.kind) {
    case 'planned': {
      const { schedule, crowd } = progress;
      say(
        `${crowd.devices.length} clients connect; ${schedule.length === 0 ? 'nothing is broken' : 'the faults:'}`,
      );
      for (const { atMs, kind, holdMs } of schedule)
        say(`${at(atMs)}  ${kind}${holdMs > 0 ? ` for ${holdMs / 1_000} s` : ''}`);
      break;
    }
    case 'connected':
      say(`All clients are connected after ${(progress.tookMs / 1_000).toFixed(1)} s; pushing`);
      break;
    case 'fault': {
      const { name, injectedAtMs, healedAtMs, trouble } = progress.span;
      if (trouble !== undefined)
        say(`${at(healedAtMs ?? injectedAtMs)}  ${colours.red(`${name} ${trouble}`)}`);
      else if (healedAtMs === undefined) say(`${at(injectedAtMs)}  ${colours.yellow(name)}`);
      else if (healedAtMs - injectedAtMs > 100) say(`${at(healedAtMs)}  ${name}: serves again`);
      break;
    }
    case 'settling':
      say(`${progress.pushes} pushes are answered; waiting for what is still to come`);
      break;
  }
}

async function conclude(outcome: CheckOutcome, report: string | undefined): Promise<void> {
  const { countsLine, isPassed, readerLines, termsLine, transportsLine, verdictLine, violationLine } =
    await import('@halley/bench/report/summary');
  print('');
  for (const violation of outcome.verdict.examples) print(colours.red(`  ${violationLine(violation)}`));
  for (const trouble of outcome.troubles) print(colours.red(`  ${trouble}`));
  for (const line of readerLines(outcome)) print(line);
  print(transportsLine(outcome));
  print(countsLine(outcome));
  print(termsLine(outcome));
  print((isPassed(outcome) ? colours.green : colours.red)(colours.bold(verdictLine(outcome))));
  if (report !== undefined) print(`The report is ${report}`);
}

/** A list that is separated by commas. */
function addresses(text: string): string[] {
  const found = text
    .split(',')
    .map((one) => one.trim())
    .filter(Boolean);
  if (found.length === 0)
    throw new HalleyError('invalid_argument', '--against needs a cluster.json or hosts');
  return found;
}

// `npm run chaos`: starts a cluster of its own and checks it in rounds, one fault a round, for as long as told. Ends with a table of
// the rounds; each has its report. Exit code 1 when anything promised was broken in any of them.
import { spawn } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { FAULTS, roundsOf } from './chaos/rounds.mjs';
import { figuresOf, tableOf } from './chaos/table.mjs';

const HALLEY = fileURLToPath(new URL('../packages/cli/bin/halley.js', import.meta.url));
const HELP = `npm run chaos -- [options]

  --minutes N     of pushing in each round; default 3, and no less than the fault takes
  --seed N        draws users, pushes and when what is broken; default a fresh one
  --only LIST     rounds to run, separated by commas; default all
  --bus redis     a cluster without Kafka, and the rounds that the bus in Redis promises to survive; default kafka
  --short         faults that last 60 s or 30 s last 10 s, and --minutes is 0.5 by default: to see that all works
  --rate N        pushes a second; default 100
  --users N       default 40
  --clients LIST  goim, sdk; default both in turn
  --restless N    clients of a hundred that come and go, reconnect, freeze or read slowly; default 30
  --port-offset N of the cluster's ports; default 20000
  --keep          leave the cluster's folder with its logs

Rounds: ${Object.keys(FAULTS).join(', ')}.
Each line of the table is a round of \`halley check\` (docs/checking.md); the folder that is named at the end has its reports.`;

const { values } = parseArgs({
  options: {
    minutes: { type: 'string' },
    seed: { type: 'string' },
    only: { type: 'string' },
    bus: { type: 'string', default: 'kafka' },
    short: { type: 'boolean', default: false },
    rate: { type: 'string', default: '100' },
    users: { type: 'string', default: '40' },
    clients: { type: 'string', default: 'goim,sdk' },
    restless: { type: 'string', default: '30' },
    'port-offset': { type: 'string', default: '20000' },
    keep: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});
if (values.help) process.stdout.write(`${HELP}\n`);
else {
  process.exitCode = await chaos().catch((error) => {
    process.stderr.write(`chaos: ${error.message}\n`);
    return 1;
  });
}

async function chaos() {
  const seed = Number(values.seed ?? randomInt(2 ** 31));
  const { bus, minutes, only, short } = values;
  const rounds = roundsOf({ bus, minutes, only, short });
  const dir = await mkdtemp(path.join(os.tmpdir(), 'halley-chaos-'));
  const data = path.join(dir, 'cluster');
  const end = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => end.abort());
  say(`${rounds.length} rounds with seed ${seed}; reports in ${dir}`);
  const cluster = await startCluster(data, end.signal);
  const results = [];
  try {
    for (const round of rounds) {
      if (end.signal.aborted || cluster.hasEnded()) break;
      results.push(await check(round, { seed, dir, data }));
    }
  } finally {
    await cluster.stop();
    if (!values.keep) await rm(data, { recursive: true, force: true });
  }
  const table = tableOf(results);
  await writeFile(path.join(dir, 'rounds.txt'), `seed ${seed}\n${table}\n`);
  say(`\n${table}\n\nseed ${seed}; reports in ${dir}`);
  const passed = results.length === rounds.length && results.every((result) => result.passed);
  if (results.length < rounds.length) say(`${rounds.length - results.length} rounds were not run`);
  return passed ? 0 : 1;
}

/** One round: what \`halley check\` found, or that it did not come to an end. */
async function check({ name, faults, seconds }, { seed, dir, data }) {
  const report = path.join(dir, `${name}.html`);
  const options = {
    against: path.join(data, 'cluster.json'),
    faults,
    report,
    duration: seconds,
    seed,
    rate: values.rate,
    users: values.users,
    clients: values.clients,
    restless: values.restless,
  };
  const args = [
    'check',
    '--json',
    ...Object.entries(options).flatMap(([key, value]) => [`--${key}`, String(value)]),
  ];
  process.stdout.write(`${name} (${faults}, ${seconds} s) … `);
  const { stdout, stderr } = await run(args);
  const result = parse(stdout);
  if (result) await writeFile(path.join(dir, `${name}.json`), stdout);
  const figures = figuresOf(name, result, stderr);
  say(figures.passed ? 'passed' : `FAILED: ${figures.why}`);
  return figures;
}

function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Runs \`halley ARGS\` to its end. A Ctrl-C at the terminal reaches it too: it judges what it has until then. */
function run(args) {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, [HALLEY, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
    let [stdout, stderr] = ['', ''];
    child.stdout.on('data', (chunk) => (stdout += chunk));
    child.stderr.on('data', (chunk) => (stderr += chunk));
    child.once('close', () => resolve({ stdout, stderr }));
  });
}

async function startCluster(dir, signal) {
  const args = ['cluster', '--bus', values.bus, '--dir', dir, '--port-offset', values['port-offset']];
  const child = spawn(process.execPath, [HALLEY, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  });
  let said = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (said += chunk));
  let ended = false;
  const exited = new Promise((resolve) => child.once('close', resolve)).then(() => (ended = true));
  const stop = async () => {
    if (!ended) child.kill('SIGTERM');
    await exited;
  };
  while (!said.includes('The cluster is ready.')) {
    if (signal.aborted) await stop();
    if (ended) throw new Error(`the cluster did not start:\n${said}`);
    await Promise.race([exited, new Promise((resolve) => child.stdout.once('data', resolve))]);
  }
  return { stop, hasEnded: () => ended };
}

function say(line) {
  process.stdout.write(`${line}\n`);
}

// Does another tool agree with `halley bench`? The same load by both, at the same time, against one comet and one logic of a cluster
// that runs here; prints the medians of each and their ratio, and exits with 1 when one is off by more than a tenth.
//   npm run bench:agree -- [--against .halley/cluster.json] [--goim CHECKOUT] [--rounds 5] [--seconds 5] [--rate 100]
// vegeta (HTTP), ghz (gRPC) and goim's own client (TCP) are taken where they are there; docs/benchmarking.md says how to get them.
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs, promisify } from 'node:util';

import { readClusterFile } from '@halley/bench/faults/cluster-file';
import { layOut, letGo, openPin } from '@halley/bench/limit/pin';
import { startLoadSide } from '@halley/bench/load/load-side';
import { TierMeter } from '@halley/bench/measure/tier-meter';

import {
  buildGoim,
  GoimClients,
  programOf,
  protosForGhz,
  removeFolder,
  runGhz,
  runVegeta,
  startPushRoom,
} from './agree/tools.mjs';

const HALLEY = fileURLToPath(new URL('../packages/cli/bin/halley.js', import.meta.url));
const PROTOS = fileURLToPath(new URL('../protos', import.meta.url));
const CALLERS = 32;
const OPERATION = 1_000;
const BODY_BYTES = 100;
/** More may be between two tools. */
const TOLERANCE = 0.1;
/** The user to whom the other tools push, far from those of a run of the bench. */
const MID = 7e12;
const GOIM_MEMBERS = 200;
const GOIM_PER_SECOND = 50;
/** goim's client tells what came every five seconds. */
const GOIM_TELLS_S = 5;
/** Before what is measured: V8 has to see thousands of calls before the bench's own client is as fast as it gets. */
const WARMUP_S = 6;
/** The other tool begins sooner than the bench, and goes on for as long: neither is ever alone. */
const OVERRUN_S = 4;
/** Behind each turn: what was accepted and isn't delivered yet is not the next one's. */
const SETTLE_MS = 2_000;

const { values } = parseArgs({
  options: {
    against: { type: 'string', default: '.halley/cluster.json' },
    goim: { type: 'string' },
    rounds: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '5' },
    rate: { type: 'string', default: '100' },
    only: { type: 'string', default: 'http,grpc,room' },
  },
});
const [rounds, seconds, rate] = [values.rounds, values.seconds, values.rate].map(Number);
if (![rounds, seconds, rate].every((value) => value >= 1)) {
  process.stderr.write('--rounds, --seconds and --rate are numbers from 1 on\n');
  process.exit(1);
}
const TIMES = { warmupSeconds: WARMUP_S, seconds, overrunSeconds: OVERRUN_S };
const parts = values.only.split(',');
const file = await readClusterFile(values.against);
const one = (tier) =>
  file.processes.find((node) => node.tier === tier) ?? fail(`no ${tier} runs in ${values.against}`);
const [comet, logic] = [one('comet'), one('logic')];
const at = (node, port) => `127.0.0.1:${node.ports[port]}`;
const [tcp, http, grpc] = [at(comet, 'tcp'), at(logic, 'http'), at(logic, 'grpc')];
const meter = new TierMeter(file.processes.map(({ tier, pid }) => ({ tier, pid })));

const rows = [];
const pin = await openPin();
// The tiers have a core of their own: so a dearer client does not take from the server.
if (pin) await layOut(pin, file, () => true);
else tell('nothing is bound to a core here: a dearer client takes from the server, and seems slower by it');
line(['', 'HALLEY BENCH', 'OTHER', 'RATIO', 'AGREES']);
try {
  if (parts.includes('http'))
    await withTool('vegeta', 'go install github.com/tsenart/vegeta/v12@latest', compareHttp);
  if (parts.includes('grpc'))
    await withTool('ghz', 'go install github.com/bojand/ghz/cmd/ghz@latest', compareGrpc);
  if (parts.includes('room')) {
    if (values.goim === undefined)
      tell("goim's client was not compared: --goim names a checkout of github.com/Terry-Mao/goim");
    else await compareGoim(values.goim).catch((error) => notCompared("goim's client", error));
  }
} finally {
  if (pin) await letGo(pin, file);
}
const off = rows.filter(({ agrees }) => agrees === false);
process.stdout.write(
  off.length === 0 && rows.length > 0
    ? 'the tools agree within 10 %\n'
    : `${off.length} of ${rows.length} figures are further apart\n`,
);
if (off.length > 0 || rows.length === 0) process.exitCode = 1;

/** Pushes by HTTP to one user who is connected: at a rate, and as fast as they are answered. */
async function compareHttp(program) {
  const body = 'x'.repeat(BODY_BYTES);
  const target = {
    target: { users: { mids: [String(MID)] } },
    operation: OPERATION,
    body_base64: btoa(body),
  };
  const apis = [
    [
      'goim',
      `http://${http}/goim/push/mids?operation=${OPERATION}&mids=${MID}`,
      'application/octet-stream',
      body,
    ],
    ['v1', `http://${http}/v1/push`, 'application/json', JSON.stringify(target)],
  ];
  for (const [via, url, type, text] of apis)
    for (const perSecond of [rate, 0])
      await compare(via === 'goim' ? 'POST /goim/push/mids' : 'POST /v1/push', perSecond, 'vegeta', {
        ours: () => benchUser(via, perSecond),
        theirs: () => runVegeta(program, { url, type, body: text, callers: CALLERS, perSecond, ...TIMES }),
      });
}

/**
 * The same by gRPC, at a rate alone: as fast as answered is as fast as the client, and the bench's takes several times the processor
 * of ghz's. Its own time is in each answer's, too.
 */
async function compareGrpc(program) {
  const protos = await protosForGhz(PROTOS);
  const request = {
    target: { users: { mids: [String(MID)] } },
    operation: OPERATION,
    body: btoa('x'.repeat(BODY_BYTES)),
  };
  const call = 'halley.push.v1.PushService.Push';
  try {
    await compare(
      'gRPC Push',
      rate,
      'ghz',
      {
        ours: () => benchUser('push', rate),
        theirs: () =>
          runGhz(program, {
            address: grpc,
            protos,
            call,
            request,
            callers: CALLERS,
            perSecond: rate,
            ...TIMES,
          }),
      },
      false,
    );
  } finally {
    await removeFolder(protos);
  }
}

/** A room of goim's clients, pushed to by goim's pusher, and one of the bench's: delivered, and what comet takes of it. */
async function compareGoim(checkout) {
  const folder = await buildGoim(checkout);
  const clients = new GoimClients(folder, tcp, GOIM_MEMBERS);
  try {
    tell(`goim's client makes its ${GOIM_MEMBERS} connections over two minutes`);
    await clients.connected();
    const found = { ours: [], theirs: [] };
    for (let round = 0; round < rounds; round += 1) {
      found.theirs.push(await goimRoom(folder, clients));
      found.ours.push(
        await bench([
          'room',
          '-n',
          String(GOIM_MEMBERS),
          '--via',
          'goim',
          '--rate',
          String(GOIM_PER_SECOND),
          '--body',
          '32',
        ]),
      );
    }
    const what = `room of ${GOIM_MEMBERS}, ${GOIM_PER_SECOND} pushes/s by HTTP`;
    add(`${what}: delivered/s`, found, 'deliveredPerSecond', true);
    add(`${what}: comet's µs a message`, found, 'cometMicros', true);
  } finally {
    clients.stop();
    await removeFolder(folder);
  }
}

async function goimRoom(folder, clients) {
  const stop = startPushRoom(folder, http, GOIM_PER_SECOND);
  // Its pushers begin one after another within a second; the figure of a whole five seconds is the second from now.
  const before = clients.rates.length;
  const told = async (count) => {
    while (clients.rates.length < before + count) await sleep(20);
    return meter.reading();
  };
  const from = await told(2);
  const to = await told(3);
  const deliveredPerSecond = clients.rates[before + 2];
  stop();
  await sleep(1_000);
  const cpuMs = meter.between(from, to).find(({ tier }) => tier === 'comet')?.cpuMs ?? Number.NaN;
  return { deliveredPerSecond, cometMicros: (cpuMs * 1_000) / (deliveredPerSecond * GOIM_TELLS_S) };
}

/** Both at the same time, so that whatever the machine does it does to both; a first turn is not counted. */
async function compare(what, perSecond, tool, { ours, theirs }, isP50Judged = true) {
  const named = `${what}, ${perSecond > 0 ? `${perSecond} a second` : 'as fast as answered'}`;
  tell(`${named}: halley bench and ${tool}, ${rounds} turns`);
  const reader = await readingUser();
  const found = { ours: [], theirs: [] };
  try {
    for (let round = 0; round <= rounds; round += 1) {
      const [our, their] = await Promise.all([ours(), theirs()]);
      if (their.failed > 0) tell(`${tool} had ${their.failed} that failed`);
      await sleep(SETTLE_MS);
      if (round === 0) continue;
      found.ours.push(our);
      found.theirs.push(their);
    }
  } finally {
    await reader.stop();
  }
  add(`${named}: pushes/s`, found, 'perSecond', true);
  add(`${named}: p50 ms`, found, 'p50Ms', isP50Judged);
  add(`${named}: p99 ms`, found, 'p99Ms', false);
}

/** The user to whom the other tool pushes is connected and reads, as the bench's own is. */
async function readingUser() {
  const side = await startLoadSide({
    addresses: [`tcp://${tcp}`],
    version: 1,
    connections: 1,
    identity: { firstMid: MID, rooms: 0, roomType: 'agree', accepts: [OPERATION], keyPrefix: 'agree-' },
    perSecond: 0,
    atOnce: 1,
    heartbeatMs: 60_000,
    run: 1n,
  });
  await side.connect();
  return side;
}

async function benchUser(via, perSecond) {
  return bench([
    'users',
    '-n',
    '1',
    '--via',
    via,
    '--rate',
    String(perSecond),
    '--in-flight',
    String(CALLERS),
  ]);
}

async function bench(args) {
  const { stdout } = await promisify(execFile)(
    process.execPath,
    [
      HALLEY,
      'bench',
      ...args,
      '--duration',
      String(seconds),
      '--warmup',
      String(WARMUP_S),
      '--json',
      '-',
      '--target',
      '127.0.0.1',
    ]
      .concat(['--tcp', tcp, '--http', http, '--grpc', grpc])
      .concat(file.processes.flatMap(({ tier, pid }) => ['--pid', `${tier}=${pid}`])),
    { maxBuffer: 1e8 },
  ).catch((error) => {
    // A verdict that is not good comes with its figures.
    if (error.stdout) return error;
    throw error;
  });
  const { traffic, tiers, faults } = JSON.parse(stdout);
  if (faults.length > 0) tell(`halley bench: ${faults.join('; ')}`);
  return {
    perSecond: traffic.pushesPerSecond,
    // From the call, as others tell it. The bench tells it from when the push was due, which is a little earlier.
    p50Ms: traffic.answers.p50Ms - traffic.lateness.p50Ms,
    p99Ms: traffic.answers.p99Ms,
    deliveredPerSecond: traffic.deliveredPerSecond,
    cometMicros: tiers.find(({ tier }) => tier === 'comet')?.microsPerDelivered ?? Number.NaN,
  };
}

/** Prints the medians of both. */
function add(what, found, key, judged) {
  const [ours, theirs] = [found.ours, found.theirs].map((turns) => median(turns.map((turn) => turn[key])));
  const ratio = ours / theirs;
  const agrees = judged ? Math.abs(ratio - 1) <= TOLERANCE : undefined;
  rows.push({ agrees });
  const verdict = { true: 'yes', false: 'NO' }[String(agrees)] ?? '';
  line([what, figure(ours), figure(theirs), ratio.toFixed(2), verdict]);
}

function line([what, ...cells]) {
  process.stdout.write(`${what.padEnd(56)}${cells.map((cell) => cell.padStart(14)).join('')}\n`);
}

async function withTool(name, install, use) {
  const program = await programOf(name);
  if (program === undefined)
    tell(`${name} was not compared: it is neither on the PATH nor in Go's bin; ${install}`);
  else await use(program).catch((error) => notCompared(name, error));
}

/** The others are compared all the same. */
function notCompared(name, error) {
  tell(`${name} was not compared: ${error.stderr || error.message}`);
  process.exitCode = 1;
}

function median(values) {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
}

function figure(value) {
  return value >= 100 ? Math.round(value).toLocaleString('en-US') : value.toFixed(2);
}

/** What is not a figure. */
function tell(text) {
  process.stderr.write(`${text}\n`);
}

function fail(why) {
  process.stderr.write(`${why}\n`);
  process.exit(1);
}

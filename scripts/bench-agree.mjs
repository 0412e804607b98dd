// Does another tool agree with `halley bench`? The same load by both, in turns, against one comet and one logic of a cluster
// that runs here; prints the medians of each and their ratio, and exits with 1 when one is off by more than a tenth.
//   npm run bench:agree -- [--against .halley/cluster.json] [--goim CHECKOUT] [--rounds 5] [--seconds 5] [--rate 500]
// hey (HTTP), ghz (gRPC) and goim's own client (TCP) are taken where they are there; docs/benchmarking.md says how to get them.
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs, promisify } from 'node:util';

import { readClusterFile } from '@halley/bench/faults/cluster-file';
import { startLoadSide } from '@halley/bench/load/load-side';
import { TierMeter } from '@halley/bench/measure/tier-meter';
import { columns } from '@halley/bench/report/figures';

import {
  buildGoim,
  GoimClients,
  programOf,
  protosForGhz,
  removeFolder,
  runGhz,
  runHey,
  startPushRoom,
} from './agree/tools.mjs';

const HALLEY = fileURLToPath(new URL('../packages/cli/bin/halley.js', import.meta.url));
const PROTOS = fileURLToPath(new URL('../protos', import.meta.url));
const CALLERS = 32;
const BATCH = 100;
const BATCH_CALLERS = 8;
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

const { values } = parseArgs({
  options: {
    against: { type: 'string', default: '.halley/cluster.json' },
    goim: { type: 'string' },
    rounds: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '5' },
    rate: { type: 'string', default: '500' },
    only: { type: 'string', default: 'http,grpc,room' },
  },
});
const [rounds, seconds, rate] = [values.rounds, values.seconds, values.rate].map(Number);
if (![rounds, seconds, rate].every((value) => value >= 1)) {
  process.stderr.write('--rounds, --seconds and --rate are numbers from 1 on\n');
  process.exit(1);
}
const parts = values.only.split(',');
const file = await readClusterFile(values.against);
const one = (tier) =>
  file.processes.find((node) => node.tier === tier) ?? fail(`no ${tier} runs in ${values.against}`);
const [comet, logic] = [one('comet'), one('logic')];
const at = (node, port) => `127.0.0.1:${node.ports[port]}`;
const [tcp, http, grpc] = [at(comet, 'tcp'), at(logic, 'http'), at(logic, 'grpc')];
const meter = new TierMeter(file.processes.map(({ tier, pid }) => ({ tier, pid })));

const rows = [];
if (parts.includes('http')) await withTool('hey', 'go install github.com/rakyll/hey@latest', compareHttp);
if (parts.includes('grpc'))
  await withTool('ghz', 'go install github.com/bojand/ghz/cmd/ghz@latest', compareGrpc);
if (parts.includes('room')) {
  if (values.goim === undefined)
    say("goim's client was not compared: --goim names a checkout of github.com/Terry-Mao/goim");
  else await compareGoim(values.goim);
}
say('');
for (const line of columns([
  ['', 'HALLEY BENCH', 'OTHER', 'RATIO', 'AGREES'],
  ...rows.map(({ what, ours, theirs, judged }) => {
    const ratio = ours / theirs;
    const agrees = Math.abs(ratio - 1) <= TOLERANCE ? 'yes' : 'NO';
    return [what, figure(ours), figure(theirs), ratio.toFixed(2), judged ? agrees : ''];
  }),
]))
  say(line);
const off = rows.filter(({ ours, theirs, judged }) => judged && !(Math.abs(ours / theirs - 1) <= TOLERANCE));
say(
  off.length === 0 && rows.length > 0
    ? 'the tools agree within 10 %'
    : `${off.length} of ${rows.length} figures are further apart`,
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
      await compare(via === 'goim' ? 'POST /goim/push/mids' : 'POST /v1/push', perSecond, 'hey', {
        ours: () => benchUser(via, perSecond),
        theirs: () => runHey(program, { url, type, body: text, callers: CALLERS, perSecond, seconds }),
      });
}

/** The same by gRPC: a push a call at both, and a hundred a call as fast as they are answered. */
async function compareGrpc(program) {
  const push = {
    target: { users: { mids: [String(MID)] } },
    operation: OPERATION,
    body: btoa('x'.repeat(BODY_BYTES)),
  };
  const protos = await protosForGhz(PROTOS);
  const call = (name) => ({ address: grpc, protos, call: `halley.push.v1.PushService.${name}`, seconds });
  try {
    for (const perSecond of [rate, 0])
      await compare('gRPC Push', perSecond, 'ghz', {
        ours: () => benchUser('push', perSecond),
        theirs: () => runGhz(program, { ...call('Push'), request: push, callers: CALLERS, perSecond }),
      });
    const batched = { request: { requests: Array.from({ length: BATCH }, () => push) }, pushes: BATCH };
    await compare(`PushBatch of ${BATCH}`, 0, 'ghz', {
      ours: () => benchUser('batch', 0, BATCH_CALLERS, ['--batch', String(BATCH)]),
      theirs: () =>
        runGhz(program, { ...call('PushBatch'), ...batched, callers: BATCH_CALLERS, perSecond: 0 }),
    });
  } finally {
    await removeFolder(protos);
  }
}

/** A room of goim's clients, pushed to by goim's pusher, and one of the bench's: delivered, and what comet takes of it. */
async function compareGoim(checkout) {
  const folder = await buildGoim(checkout);
  const clients = new GoimClients(folder, tcp, GOIM_MEMBERS);
  try {
    say(`goim's client makes its ${GOIM_MEMBERS} connections over two minutes`);
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

/** Both in turns, so that what the machine does to one it does to the other; a first turn is not counted. */
async function compare(what, perSecond, tool, { ours, theirs }) {
  const named = `${what}, ${perSecond > 0 ? `${perSecond} a second` : 'as fast as answered'}`;
  say(`${named}: halley bench and ${tool}, ${rounds} turns`);
  const reader = await readingUser();
  const found = { ours: [], theirs: [] };
  try {
    for (let round = 0; round <= rounds; round += 1) {
      const turn = [await theirs(), await ours()];
      if (turn[0].failed > 0) say(`${tool} had ${turn[0].failed} that failed`);
      if (round > 0) for (const [index, side] of ['theirs', 'ours'].entries()) found[side].push(turn[index]);
    }
  } finally {
    await reader.stop();
  }
  add(`${named}: pushes/s`, found, 'perSecond', true);
  // From the call to its answer. The bench tells it from when the push was due, which is later only when a caller is busy.
  add(`${named}: p50 ms`, found, 'p50Ms', true);
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

async function benchUser(via, perSecond, inFlight = CALLERS, more = []) {
  return bench([
    'users',
    '-n',
    '1',
    '--via',
    via,
    '--rate',
    String(perSecond),
    '--in-flight',
    String(inFlight),
    ...more,
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
      '1',
      '--json',
      '-',
      '--target',
      '127.0.0.1',
    ]
      .concat(['--tcp', tcp, '--http', http, '--grpc', grpc])
      .concat(file.processes.flatMap(({ tier, pid }) => ['--pid', `${tier}=${pid}`])),
    { maxBuffer: 1e8 },
  ).catch((error) => (error.stdout ? error : fail(error.stderr ?? error.message)));
  const { traffic, tiers, faults } = JSON.parse(stdout);
  if (faults.length > 0) say(`halley bench: ${faults.join('; ')}`);
  return {
    perSecond: traffic.pushesPerSecond,
    p50Ms: traffic.answers.p50Ms,
    p99Ms: traffic.answers.p99Ms,
    deliveredPerSecond: traffic.deliveredPerSecond,
    cometMicros: tiers.find(({ tier }) => tier === 'comet')?.microsPerDelivered ?? Number.NaN,
  };
}

function add(what, { ours, theirs }, key, judged) {
  rows.push({
    what,
    judged,
    ours: median(ours.map((turn) => turn[key])),
    theirs: median(theirs.map((turn) => turn[key])),
  });
}

async function withTool(name, install, use) {
  const program = await programOf(name);
  if (program === undefined)
    say(`${name} was not compared: it is neither on the PATH nor in Go's bin; ${install}`);
  else
    await use(program).catch((error) => {
      // The others are compared all the same.
      say(`${name} was not compared: ${error.stderr || error.message}`);
      process.exitCode = 1;
    });
}

function median(values) {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
}

function figure(value) {
  return value >= 100 ? Math.round(value).toLocaleString('en-US') : value.toFixed(2);
}

function say(text) {
  process.stdout.write(`${text}\n`);
}

function fail(why) {
  process.stderr.write(`${why}\n`);
  process.exit(1);
}

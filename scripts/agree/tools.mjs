// Other people's load tools, each run once: what it counted, or why it can't be run.
import { execFile, spawn } from 'node:child_process';
import { access, cp, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';

const run = promisify(execFile);
const MAX_OUTPUT_BYTES = 1e9;
/** goim's client waits for up to two minutes before each of its connections, and a while longer is for the slow. */
const GOIM_CONNECTS_MS = 180_000;

/** A program by its name, on the PATH or where `go install` puts it; undefined where there is none. */
export async function programOf(name) {
  const home =
    process.env['GOBIN'] ?? path.join(process.env['GOPATH'] ?? path.join(os.homedir(), 'go'), 'bin');
  for (const folder of [...(process.env['PATH'] ?? '').split(path.delimiter), home]) {
    const file = path.join(folder, name);
    if (
      await access(file).then(
        () => true,
        () => false,
      )
    )
      return file;
  }
  return undefined;
}

/**
 * hey, at a rate or as fast as it is answered. It waits for each answer before a worker's next request, and measures from
 * the request: not from when it was due.
 */
export async function runHey(program, { url, type, body, callers, perSecond, seconds }) {
  const { stdout } = await run(
    program,
    [
      ['-z', `${seconds}s`, '-c', String(callers), '-m', 'POST', '-T', type, '-d', body, '-o', 'csv'],
      perSecond > 0 ? ['-q', String(perSecond / callers)] : [],
      url,
    ].flat(),
    { maxBuffer: MAX_OUTPUT_BYTES },
  );
  // response-time, DNS+dialup, DNS, request-write, response-delay, response-read, status-code, offset; in seconds.
  const rows = stdout
    .trim()
    .split('\n')
    .slice(1)
    .map((line) => line.split(',').map(Number));
  const good = rows.filter((row) => row[6] === 200);
  return {
    perSecond: good.length / seconds,
    failed: rows.length - good.length,
    ...percentiles(good.map((row) => row[0] * 1_000)),
  };
}

/** ghz, at a rate (open loop: it does not wait for answers) or as fast as it is answered. */
export async function runGhz(
  program,
  { address, protos, call, request, callers, perSecond, seconds, pushes = 1 },
) {
  const { stdout } = await run(
    program,
    [
      ['--insecure', '--import-paths', protos, '--proto', 'halley/push/v1/push.proto', '--call', call],
      ['-d', JSON.stringify(request), '-c', String(callers), '-z', `${seconds}s`, '--duration-stop', 'wait'],
      perSecond > 0 ? ['--rps', String(perSecond), '--async'] : [],
      ['-O', 'json', address],
    ].flat(),
    { maxBuffer: MAX_OUTPUT_BYTES },
  );
  const { count, total, statusCodeDistribution, details = [] } = JSON.parse(stdout);
  const ok = statusCodeDistribution['OK'] ?? 0;
  return {
    perSecond: (ok * pushes * 1e9) / total,
    failed: count - ok,
    ...percentiles(details.map(({ latency }) => latency / 1e6)),
  };
}

/** A copy of the protos that ghz's parser takes: it does not know `optional` in proto3, which changes nothing on the wire. */
export async function protosForGhz(protos) {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'halley-agree-'));
  await cp(protos, folder, { recursive: true });
  for (const name of await readdir(folder, { recursive: true })) {
    if (!name.endsWith('.proto')) continue;
    const file = path.join(folder, name);
    await writeFile(file, (await readFile(file, 'utf8')).replaceAll(/^(\s*)optional /gm, '$1'));
  }
  return folder;
}

/** Builds goim's own load programs from a checkout of it; throws where there is no Go. */
export async function buildGoim(checkout) {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'halley-agree-'));
  for (const name of ['client', 'push_room'])
    await run('go', ['build', '-mod=mod', '-o', path.join(folder, name), `./benchmarks/${name}`], {
      cwd: checkout,
    });
  return folder;
}

/** goim's client: so many connections in the room test://1. It reads, and tells every five seconds what came. */
export class GoimClients {
  alive = 0;
  /** Messages a second, of each five seconds. */
  rates = [];
  #process;

  constructor(folder, address, connections) {
    // It logs each message into the temporary folder.
    this.#process = spawn(path.join(folder, 'client'), ['1', String(connections), address], {
      env: { ...process.env, TMPDIR: folder },
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    this.#process.stdout.setEncoding('utf8').on('data', (text) => {
      for (const [, alive, rate] of text.matchAll(/alive:(\d+) down:\d+ down\/s:(\d+)/g)) {
        this.alive = Number(alive);
        this.rates.push(Number(rate));
      }
    });
    this.connections = connections;
  }

  async connected() {
    const untilMs = Date.now() + GOIM_CONNECTS_MS;
    while (this.alive < this.connections && Date.now() < untilMs) await sleep(500);
    if (this.alive < this.connections)
      throw new Error(`goim's client has ${this.alive} of ${this.connections} connections`);
  }

  stop() {
    this.#process.kill('SIGKILL');
  }
}

/** goim's pusher into the room of its clients: so many pushes a second, spread over it. Answers what ends it. */
export function startPushRoom(folder, address, perSecond) {
  const pusher = spawn(path.join(folder, 'push_room'), ['1', String(perSecond), address], {
    stdio: 'ignore',
  });
  return () => pusher.kill('SIGKILL');
}

export async function removeFolder(folder) {
  await rm(folder, { recursive: true, force: true });
}

function percentiles(times) {
  const sorted = times.toSorted((a, b) => a - b);
  const at = (share) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
  return { p50Ms: at(0.5), p99Ms: at(0.99) };
}

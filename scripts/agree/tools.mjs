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
 * What each tool is told: `perSecond` 0 is as fast as `callers` calls are answered. What is answered in the first
 * `warmupSeconds` isn't counted: the bench leaves it out, too, and what a server has piled up until then is the same for both.
 */

/** vegeta, at a rate (open loop: a request is sent when it is due) or as fast as it is answered. */
export async function runVegeta(program, { url, type, body, callers, perSecond, ...times }) {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'halley-agree-'));
  const [targets, content, results] = ['targets', 'body', 'results'].map((name) => path.join(folder, name));
  try {
    await writeFile(targets, `POST ${url}\nContent-Type: ${type}\n`);
    await writeFile(content, body);
    const files = ['-targets', targets, '-body', content, '-output', results];
    const load = ['-rate', String(perSecond), '-workers', String(callers), '-max-workers', String(callers)];
    await run(program, ['attack', ...files, ...load, '-duration', durationOf(times)]);
    const { stdout } = await run(program, ['encode', '-to', 'csv', results], { maxBuffer: MAX_OUTPUT_BYTES });
    // When it was sent in nanoseconds since 1970, status, nanoseconds it took, and more.
    const answers = stdout
      .trim()
      .split('\n')
      .map((row) => {
        const [sentNs, status, tookNs] = row.split(',', 3);
        return { sentMs: Number(sentNs) / 1e6, tookMs: Number(tookNs) / 1e6, ok: status === '200' };
      });
    return figuresOf(answers, times);
  } finally {
    await removeFolder(folder);
  }
}

/** ghz, at a rate (open loop: it does not wait for answers). */
export async function runGhz(program, { address, protos, call, request, callers, perSecond, ...times }) {
  const { stdout } = await run(
    program,
    [
      ['--insecure', '--import-paths', protos, '--proto', 'halley/push/v1/push.proto', '--call', call],
      ['-d', JSON.stringify(request), '-c', String(callers), '--duration-stop', 'wait'],
      ['-z', durationOf(times)],
      ['--rps', String(perSecond), '--async', '-O', 'json', address],
    ].flat(),
    { maxBuffer: MAX_OUTPUT_BYTES },
  );
  const answers = (JSON.parse(stdout).details ?? []).map(({ timestamp, latency, status }) => ({
    sentMs: Date.parse(timestamp),
    tookMs: latency / 1e6,
    ok: status === 'OK',
  }));
  return figuresOf(answers, times);
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

/** What comes in the overrun isn't counted either. */
function durationOf({ warmupSeconds, seconds, overrunSeconds }) {
  return `${warmupSeconds + seconds + overrunSeconds}s`;
}

/** Of what was answered when the warm-up was over, and within the time. */
function figuresOf(answers, { warmupSeconds, seconds }) {
  const fromMs =
    answers.reduce((least, { sentMs }) => Math.min(least, sentMs), Infinity) + warmupSeconds * 1_000;
  const untilMs = fromMs + seconds * 1_000;
  const counted = answers.filter(
    ({ sentMs, tookMs }) => sentMs + tookMs >= fromMs && sentMs + tookMs < untilMs,
  );
  const times = counted
    .filter(({ ok }) => ok)
    .map(({ tookMs }) => tookMs)
    .toSorted((a, b) => a - b);
  const at = (share) => times[Math.min(times.length - 1, Math.floor(times.length * share))] ?? Number.NaN;
  return {
    perSecond: times.length / seconds,
    failed: answers.filter(({ ok }) => !ok).length,
    p50Ms: at(0.5),
    p99Ms: at(0.99),
  };
}

import type { BenchOptions, BenchTransport, ScenarioName, Via } from '@halley/bench/scenario/options';
import { DEFAULTS, SCENARIO_DEFAULTS, TRANSPORTS, VIAS } from '@halley/bench/scenario/options';
import type { BenchTarget } from '@halley/bench/scenario/target';
import { HalleyError } from '@halley/protocol/error';
import { type Command, InvalidArgumentError, Option } from 'commander';

import { listOf, oneOf, operation, someText, wholeNumber } from '../arguments.js';

/** Where the server is. */
export interface TargetOptions {
  readonly target?: string;
  readonly against?: string;
  readonly tcp?: string;
  readonly ws?: string;
  readonly http?: string;
  readonly grpc?: string;
  readonly cometGrpc?: string;
  readonly pid?: string[];
}

/** What every scenario has, and what some have. */
export interface ScenarioOptions extends TargetOptions {
  readonly transport: BenchTransport;
  readonly ver: '1' | '2';
  readonly connections?: number;
  readonly rooms?: number;
  readonly roomType?: string;
  readonly connectRate: number;
  readonly atOnce: number;
  readonly storm?: true;
  readonly rounds?: number;
  readonly heartbeat: number;
  readonly processes: number;
  readonly readers?: 'native' | 'node';
  readonly source?: string[];
  readonly via?: Via;
  readonly batch?: number;
  readonly callers?: number;
  readonly inFlight?: number;
  readonly rate?: number;
  readonly duration?: number;
  readonly warmup?: number;
  readonly settle: number;
  readonly body?: number;
  readonly operation: number;
  readonly roomPercent?: number;
  readonly apiKey?: string;
  readonly json?: string;
  readonly html?: string;
}

const MAX_SECONDS = 604_800;
const MAX_CONNECTIONS = 1_000_000;
/** What a call of each way carries at most unless it is told. */
const BATCHED: readonly Via[] = ['batch', 'v1-batch'];
const BATCH = 1_024;

/** The options of where the server is. */
export function addTargetOptions(command: Command): Command {
  return command
    .option('--target <host>', 'a server of the goim protocol, goim itself too, at its usual ports')
    .option('--against <file>', 'cluster.json of a Halley cluster on this machine')
    .option('--tcp <port>', 'or host:port; of comet, TCP (default: 3101)', portOrAddress)
    .option('--ws <port>', 'of comet, WebSocket (default: 3102)', portOrAddress)
    .option('--http <port>', 'of logic, HTTP (default: 3111)', portOrAddress)
    .option('--grpc <port>', 'of logic, halley.push gRPC (default: 3119)', portOrAddress)
    .option('--comet-grpc <port>', "of comet, goim's gRPC (default: 3109)", portOrAddress)
    .option(
      '--pid <tier=pid>',
      'measure this process too, as job=4711; those that listen on these ports are found',
      listOf(String),
    );
}

/** The options of one scenario. */
export function addScenarioOptions(command: Command, scenario: ScenarioName): Command {
  const defaults = SCENARIO_DEFAULTS[scenario];
  const seconds = (ms: number): number => ms / 1_000;
  addTargetOptions(command)
    .option(
      '-n, --connections <n>',
      `connections (default: ${defaults.connections > 0 ? defaults.connections : 'as many as descriptors'})`,
      wholeNumber(1, MAX_CONNECTIONS),
    )
    .option('--transport <tcp|ws|both>', 'of the connections', oneOf(...TRANSPORTS), DEFAULTS.transport)
    .addOption(
      new Option('--ver <1|2>', "of the client protocol; 1 is goim's").choices(['1', '2']).default('1'),
    )
    .option(
      '--rooms <n>',
      `rooms that they are in, in turn (default: ${defaults.rooms})`,
      wholeNumber(0, MAX_CONNECTIONS),
    )
    .option('--room-type <type>', 'type of the rooms (default: one of its own)', someText)
    .option(
      '--connect-rate <n>',
      'connections begun a second; 0 is as fast as it goes',
      wholeNumber(0, MAX_CONNECTIONS),
      DEFAULTS.connectPerSecond,
    )
    .option('--at-once <n>', 'handshakes under way at most', wholeNumber(1, MAX_CONNECTIONS), DEFAULTS.atOnce)
    .option('--heartbeat <s>', 'between heartbeats; 0 is never', wholeNumber(0, 3_600), 120)
    .option('--processes <n>', 'that read', wholeNumber(1, 64), DEFAULTS.processes)
    .option(
      '--readers <native|node>',
      'what reads: the C program, or Node (default: C where there is a compiler)',
      oneOf('native', 'node'),
    )
    .option(
      '--source <address>',
      'local addresses to connect from, in turn: each has some 28,000 ports',
      listOf(String),
    )
    .option('--operation <n>', 'of the messages', operation, DEFAULTS.operation)
    .option(
      '--settle <s>',
      'at the end, what is missing is waited for so long after the last message',
      wholeNumber(0, 600),
      seconds(DEFAULTS.settleMs),
    )
    .option('--json <file>', 'write the result as JSON; - prints it, and nothing else')
    .option('--html <file>', 'write a report with plots, as one HTML file')
    .addOption(new Option('--api-key <key>', 'API key, where logic asks for one').env('HALLEY_API_KEY'));
  if (scenario === 'connect')
    return command
      .option('--storm', 'all at once: as many handshakes under way as there are connections')
      .option('--rounds <n>', 'drop all and connect again, so often', wholeNumber(1, 1_000), DEFAULTS.rounds);
  command.option(
    '--duration <s>',
    `seconds that are measured${scenario === 'ramp' ? ', of each step' : ''} (default: ${seconds(defaults.durationMs)})`,
    wholeNumber(1, MAX_SECONDS),
  );
  if (scenario === 'idle') return command;
  if (scenario === 'mixed' || scenario === 'soak')
    command.option(
      '--room-percent <n>',
      'of 100 pushes, those to rooms; the others are to users',
      wholeNumber(0, 100),
      DEFAULTS.roomPercent,
    );
  return command
    .option(
      '--rate <n>',
      `${scenario === 'ramp' ? 'deliveries a second at each step' : 'pushes a second; 0 is as fast as they are answered'} (default: ${defaults.perSecond})`,
      wholeNumber(scenario === 'ramp' ? 1 : 0, 10_000_000),
    )
    .option(
      '--warmup <s>',
      'seconds of pushing before that',
      wholeNumber(0, 3_600),
      seconds(DEFAULTS.warmupMs),
    )
    .addOption(
      new Option(
        `--via <${VIAS.join('|')}>`,
        "goim's HTTP; goim's gRPC straight to comet; halley.push single or in batches; POST /v1/push (default: goim with --target, else batch)",
      ).argParser(oneOf(...VIAS)),
    )
    .option(
      '--batch <n>',
      'pushes in one call at most (default: 1,024 of batch and v1-batch, else 1)',
      wholeNumber(1, BATCH),
    )
    .option(
      '--callers <n>',
      'that push at once; those of one room or user come from one',
      wholeNumber(1, 10_000),
      DEFAULTS.callers,
    )
    .option(
      '--in-flight <n>',
      'calls of a caller under way; above 1 order is not judged',
      wholeNumber(1, 1_000),
      DEFAULTS.inFlight,
    )
    .option(
      '--body <bytes>',
      'of a message, without its header of 16',
      wholeNumber(32, 1_048_576),
      DEFAULTS.bodyBytes,
    );
}

/** What is measured. Throws `invalid_argument` where options don't go together. */
export function benchOptions(
  scenario: ScenarioName,
  options: ScenarioOptions,
  target: BenchTarget,
): BenchOptions {
  const defaults = SCENARIO_DEFAULTS[scenario];
  const connections = options.connections ?? defaults.connections;
  const rooms = options.rooms ?? defaults.rooms;
  const via = options.via ?? (options.target === undefined ? 'batch' : 'goim');
  const isBatched = BATCHED.includes(via);
  if (options.batch !== undefined && options.batch > 1 && !isBatched && via !== 'comet')
    throw wrong(
      `--batch ${options.batch}: --via ${via} takes one push a call; batch, v1-batch and comet take several`,
    );
  if (rooms === 0 && (scenario === 'room' || scenario === 'ramp'))
    throw wrong('--rooms 0: there is nothing to push to');
  if (rooms === 0 && options.roomPercent !== 0 && (scenario === 'mixed' || scenario === 'soak'))
    throw wrong('--rooms 0 goes with --room-percent 0');
  if (rooms > connections && connections > 0)
    throw wrong(`--rooms ${rooms}: more than there are connections (${connections})`);
  return {
    scenario,
    target,
    transport: options.transport,
    version: options.ver === '2' ? 2 : 1,
    connections,
    rooms,
    connectPerSecond: options.connectRate,
    atOnce: options.storm ? connections : options.atOnce,
    heartbeatMs: options.heartbeat * 1_000,
    processes: options.processes,
    via,
    batch: options.batch ?? (isBatched ? BATCH : 1),
    callers: options.callers ?? DEFAULTS.callers,
    inFlight: options.inFlight ?? DEFAULTS.inFlight,
    perSecond: options.rate ?? defaults.perSecond,
    durationMs: options.duration === undefined ? defaults.durationMs : options.duration * 1_000,
    warmupMs: options.warmup === undefined ? DEFAULTS.warmupMs : options.warmup * 1_000,
    settleMs: options.settle * 1_000,
    bodyBytes: options.body ?? DEFAULTS.bodyBytes,
    operation: options.operation,
    roomPercent: options.roomPercent ?? DEFAULTS.roomPercent,
    rounds: options.rounds ?? DEFAULTS.rounds,
    ...(options.roomType === undefined ? {} : { roomType: options.roomType }),
    ...(options.readers === undefined ? {} : { native: options.readers === 'native' }),
    ...(options.source === undefined ? {} : { sources: options.source }),
    ...(options.apiKey === undefined ? {} : { apiKey: options.apiKey }),
  };
}

/** A port, or `host:port`. */
function portOrAddress(text: string): string {
  const port = Number(/^(?:.*[^:]:)?(\d{1,5})$/.exec(text)?.[1]);
  if (!(port >= 1 && port <= 65_535))
    throw new InvalidArgumentError('Must be a port, or host:port, as 127.0.0.1:3101.');
  return text;
}

function wrong(text: string): HalleyError {
  return new HalleyError('invalid_argument', text);
}

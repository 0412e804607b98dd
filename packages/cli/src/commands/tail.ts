import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';

import { shouldReconnect } from '@halley/protocol/close-code';
import { HalleyError } from '@halley/protocol/error';
import type { Frame } from '@halley/protocol/frame';
import { Backoff } from '@halley/service/backoff';
import type { Command } from 'commander';

import { listOf, oneOf, operation, userId, wholeNumber } from '../arguments.js';
import { shownText, textOf } from '../body-text.js';
import { type ClientAddress, clientAddress, type Transport } from '@halley/bench/goim/client-address';
import type { ClientEnd } from '@halley/bench/goim/goim-client';
import { colours, note, print } from '../terminal.js';

interface TailOptions {
  readonly address?: string;
  readonly transport?: Transport;
  readonly mid: string;
  readonly key?: string;
  readonly room?: string;
  readonly platform: string;
  readonly accepts?: number[];
  readonly token?: string;
  readonly tokenFile?: string;
  readonly heartbeatMs: number;
  readonly ca?: string;
  readonly count?: number;
  readonly reconnect: boolean;
  readonly json?: true;
}

const EXAMPLES = `
Examples:
  halley tail --mid 1 --room live://1000 --accepts 1000,1001
  halley tail --transport websocket --mid 1 --accepts 1000 --json
  halley tail --address wss://chat.example.org --token-file token.txt

Prints a line for each message. Ctrl-C ends it.`;

/** `halley tail`: a client that prints what it is pushed. */
export function registerTail(program: Command): void {
  program
    .command('tail')
    .description('connect as a client and print what arrives')
    .option(
      '--address <address>',
      'of a comet: host:port, tcp://, tls://, ws:// or wss:// (default: this machine, port 3101 or 3102)',
    )
    .option(
      '--transport <transport>',
      'tcp or websocket (default: tcp, or what the address says)',
      oneOf('tcp', 'websocket'),
    )
    .option('--mid <id>', 'user id; 0 is anonymous', userId, '0')
    .option('--key <key>', "the connection's key (default: a fresh one)")
    .option('--room <room>', 'room to be in, as live://1000')
    .option('--platform <name>', 'platform that is told', 'web')
    .option('--accepts <operations>', 'operations of pushes to take, separated by commas', listOf(operation))
    .option('--token <token>', 'send this token, where the cluster does not take plain ones')
    .option('--token-file <file>', 'send the token in this file; better than --token, which others see')
    .option('--heartbeat-ms <ms>', 'between two heartbeats', wholeNumber(100, 3_600_000), 30_000)
    .option('--ca <file>', 'with tls:// and wss://: trust the certificates (PEM) in this file')
    .option('--count <n>', 'end after this many messages', wholeNumber(1, 1e9))
    .option('--no-reconnect', 'end when the connection ends')
    .option('--json', 'print one JSON object a line')
    .addHelpText('after', EXAMPLES)
    .action(async (options: TailOptions) => {
      process.exitCode = await tail(options);
    });
}

async function tail(options: TailOptions): Promise<number> {
  const address = clientAddress(options.address, options.transport);
  const token = await tokenOf(options);
  const ca = options.ca === undefined ? undefined : await read(options.ca, '--ca');
  const stop = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => stop.abort());

  const backoff = new Backoff({ baseMs: 500, maxMs: 10_000 });
  const left = { messages: options.count ?? Number.POSITIVE_INFINITY };
  let hadSession = false;
  for (;;) {
    const end = await connection(options, address, token, ca, left, stop.signal);
    if (stop.signal.aborted || left.messages === 0) return 0;
    if (end.reached === 'session') {
      hadSession = true;
      backoff.reset();
    }
    const again = options.reconnect && connectsAgain(end, address.transport, hadSession);
    const waitMs = again ? Math.ceil(backoff.nextMs()) : undefined;
    tellEnd(options, address, end, waitMs);
    if (waitMs === undefined) return 1;
    await sleep(waitMs, undefined, { signal: stop.signal }).catch(() => undefined);
    if (stop.signal.aborted) return 0;
  }
}

/** One connection, from connect to its end. */
async function connection(
  options: TailOptions,
  address: ClientAddress,
  token: string,
  ca: Buffer | undefined,
  left: { messages: number },
  stop: AbortSignal,
): Promise<ClientEnd> {
  // Loaded when it is needed: the other commands need no WebSocket.
  const { GoimClient } = await import('@halley/bench/goim/goim-client');
  return new Promise((resolve) => {
    const onStop = (): void => client.close('stopped');
    const client = new GoimClient({
      address,
      token,
      heartbeatMs: options.heartbeatMs,
      ...(ca ? { ca } : {}),
      onConnected: () => {
        if (options.json)
          print(JSON.stringify({ event: 'connected', address: address.text, mid: options.mid }));
        else note(colours.dim(`connected to ${address.text}`));
      },
      onMessage: (frame) => {
        if (left.messages === 0) return;
        left.messages -= 1;
        print(options.json ? JSON.stringify(messageFields(frame)) : messageLine(frame, new Date()));
        if (left.messages === 0) client.close('done');
      },
      onEnd: (end) => {
        stop.removeEventListener('abort', onStop);
        resolve(end);
      },
    });
    stop.addEventListener('abort', onStop);
    if (stop.aborted) onStop();
  });
}

function tellEnd(
  options: TailOptions,
  address: ClientAddress,
  end: ClientEnd,
  waitMs: number | undefined,
): void {
  if (options.json) {
    const { code, reason, reached } = end;
    print(JSON.stringify({ event: 'closed', reached, code, reason, reconnectMs: waitMs }));
    return;
  }
  const what = endText(end, address.text);
  note(
    waitMs === undefined
      ? `halley: ${what}`
      : colours.dim(`${what}; trying again in ${(waitMs / 1_000).toFixed(1)} s`),
  );
}

/**
 * Whether it would end otherwise the next time. TCP has no close codes: who never was in session and is closed ahead of the
 * answer to auth was most likely refused.
 */
export function connectsAgain(end: ClientEnd, transport: Transport, hadSession: boolean): boolean {
  if (end.code !== undefined) return shouldReconnect(end.code);
  return transport !== 'tcp' || end.reached !== 'server' || hadSession;
}

/** How a connection ended, in words. Without a code the cause can only be guessed. */
export function endText(end: ClientEnd, address: string): string {
  const code = end.code === undefined ? '' : ` (${end.code})`;
  const guess = end.code === undefined ? '; was the token refused?' : '';
  return {
    nothing: `cannot connect to ${address}: ${end.reason}`,
    server: `closed before auth was answered: ${end.reason}${code}${guess}`,
    session: `connection ended: ${end.reason}${code}`,
  }[end.reached];
}

/** A message as JSON: its body as text when it is UTF-8, in base64 otherwise. */
export function messageFields({ ver, op, seq, body }: Frame): Record<string, unknown> {
  const text = textOf(body);
  return {
    event: 'message',
    ver,
    op,
    seq,
    ...(text === undefined ? { base64: Buffer.from(body).toString('base64') } : { text }),
  };
}

/** A message for people. Control characters are shown, not obeyed: a body is not to steer the terminal. */
export function messageLine({ op, body }: Frame, at: Date): string {
  const time = at.toTimeString().slice(0, 8);
  const text = textOf(body);
  const shown =
    text === undefined
      ? colours.dim(
          `${body.length} bytes: ${Buffer.from(body.subarray(0, 64)).toString('hex')}${body.length > 64 ? '…' : ''}`,
        )
      : shownText(text);
  return `${colours.dim(time)} ${colours.cyan(`op ${op}`)} ${shown}`;
}

/** goim's token, written by hand because JSON.stringify cannot keep all 64 bits of mid. */
export function plainToken(
  options: Pick<TailOptions, 'mid' | 'key' | 'room' | 'platform' | 'accepts'>,
): string {
  const { mid, key = '', room = '', platform, accepts = [] } = options;
  const rest = JSON.stringify({ key, room_id: room, platform, accepts });
  return `{"mid":${mid},${rest.slice(1)}`;
}

async function tokenOf(options: TailOptions): Promise<string> {
  if (options.token !== undefined) return options.token;
  if (options.tokenFile !== undefined)
    return (await read(options.tokenFile, '--token-file')).toString('utf8').trim();
  return plainToken(options);
}

async function read(file: string, option: string): Promise<Buffer> {
  return readFile(file).catch((error: unknown) => {
    throw new HalleyError('invalid_argument', `${option} ${file} cannot be read`, { cause: error });
  });
}

import { randomUUID } from 'node:crypto';

import type { PushReply__Output } from '@halley/cluster/grpc/gen/halley/push/v1/PushReply';
import { HalleyError } from '@halley/protocol/error';
import type { Command } from 'commander';

import { someText, wholeNumber } from '../arguments.js';
import { loadGrpc } from '../client/load-grpc.js';
import { addLogicOptions, type LogicOptions } from '../client/logic-options.js';
import { aheadText } from '../duration.js';
import { colours, note, print } from '../terminal.js';
import { addContentOptions, type ContentOptions, contentOf } from './push-content.js';
import { addTimingOptions, type TimingOptions, timingOf } from './push-options.js';

interface PushOptions extends LogicOptions, ContentOptions, TimingOptions {
  readonly id?: string;
  readonly deadlineMs: number;
  readonly json?: true;
}

const EXAMPLES = `
Examples:
  halley push --users 1,2 --operation 1000 --body 'hello, users'
  halley push --room live://1000 --operation 1000 --body 'hello, room'
  date | halley push --all --operation 1000 --body-file -
  halley push --users 1 --operation 1000 --body 'your table is ready' --delay 15m --id table-7
  halley push --users 1 --operation 1000 --body 'the sale ends' --at 18:00 --expire-in 2h
  halley push --users 1 --operation 1000 --body '2:1' --collapse-key score --retention 1d
  halley push --users 1 --operation 1000 --body 'Ada likes it' --group likes-7 --window 10s

One with --delay, --at or --group waits, and can be shown and cancelled by its id: halley schedule --help.

Exit code: 0 when the push is accepted; 1 when it was refused: it will never appear;
2 when that is not known: repeat it with the same --id.`;

/** `halley push`: one push through the business API of a logic. */
export function registerPush(program: Command): void {
  const command = program
    .command('push')
    .description('push a message to users, connections, a room or everyone');
  addContentOptions(command).option(
    '--id <id>',
    'message id, to repeat a push safely; default a fresh one',
    someText,
  );
  addTimingOptions(command)
    .option('--deadline-ms <ms>', 'wait at most this long for the answer', wholeNumber(1, 600_000), 10_000)
    .option('--json', 'print the outcome as JSON');
  addLogicOptions(command)
    .addHelpText('after', EXAMPLES)
    .action(async (options: PushOptions) => {
      process.exitCode = await push(options);
    });
}

async function push(options: PushOptions): Promise<number> {
  const id = options.id ?? randomUUID();
  const request = { id, ...timingOf(options, Date.now()), ...(await contentOf(options)) };
  const { withLogic, call, protos, outcomeOf } = await loadGrpc();
  try {
    const reply = await withLogic(protos.halley.push.v1.PushService, options, (client) =>
      call(client.Push.bind(client), request, { deadlineMs: options.deadlineMs }),
    );
    print(options.json ? JSON.stringify(acceptedJson(reply)) : acceptedLine(reply, Date.now()));
    return 0;
  } catch (error) {
    const told = HalleyError.from(error);
    const outcome = outcomeOf(told);
    tellFailure(told, outcome, id, options);
    return outcome === 'unknown' ? 2 : 1;
  }
}

/** What is said of an accepted push: its id, when it will be delivered, and whether it is a repeat. */
export function acceptedLine({ id, deliver_at_ms, duplicate }: PushReply__Output, nowMs: number): string {
  const atMs = Number(deliver_at_ms);
  const when = atMs > 0 ? `, to be delivered ${aheadText(atMs, nowMs)}` : '';
  return `${colours.green('ok')} ${id}${when}${duplicate ? ' (taken in before)' : ''}`;
}

function acceptedJson({ id, deliver_at_ms, duplicate }: PushReply__Output) {
  const atMs = Number(deliver_at_ms);
  return { outcome: 'ok', id, ...(atMs > 0 && { deliver_at_ms: atMs }), ...(duplicate && { duplicate }) };
}

function tellFailure(
  error: HalleyError,
  outcome: 'refused' | 'unknown',
  id: string,
  options: PushOptions,
): void {
  const { code, message, retryAfterMs } = error;
  if (options.json) {
    print(
      JSON.stringify({
        outcome,
        id,
        code,
        message,
        ...(retryAfterMs === undefined ? {} : { retry_after_ms: retryAfterMs }),
      }),
    );
  } else {
    const repeat =
      outcome === 'unknown'
        ? ` To repeat it: --id ${id}`
        : retryAfterMs === undefined
          ? ''
          : ` Repeat in ${retryAfterMs} ms.`;
    note(`halley: ${outcome}: ${code}: ${message}${repeat}`);
  }
}

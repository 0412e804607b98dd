import { randomUUID } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { buffer } from 'node:stream/consumers';

import { HalleyError } from '@halley/protocol/error';
import type { Command } from 'commander';

import { listOf, oneOf, operation, userId, wholeNumber } from '../arguments.js';
import { addLogicOptions, type LogicOptions } from '../client/logic-options.js';
import { colours, note, print } from '../terminal.js';

interface PushOptions extends LogicOptions {
  readonly users?: string[];
  readonly keys?: string[];
  readonly room?: string;
  readonly all?: true;
  readonly speed?: number;
  readonly operation: number;
  readonly body?: string;
  readonly bodyFile?: string;
  readonly id?: string;
  readonly class?: 'durable' | 'ephemeral';
  readonly deadlineMs: number;
  readonly json?: true;
}

const EXAMPLES = `
Examples:
  halley push --users 1,2 --operation 1000 --body 'hello, users'
  halley push --room live://1000 --operation 1000 --body 'hello, room'
  date | halley push --all --operation 1000 --body-file -

Exit code: 0 when the push is accepted; 1 when it was refused: it will never appear;
2 when that is not known: repeat it with the same --id.`;

/** `halley push`: one push through the business API of a logic. */
export function registerPush(program: Command): void {
  const command = program
    .command('push')
    .description('push a message to users, connections, a room or everyone')
    .option('--users <ids>', 'to these users, separated by commas', listOf(userId))
    .option(
      '--keys <keys>',
      'to these connections, separated by commas',
      listOf((text) => text),
    )
    .option('--room <room>', 'to this room, as live://1000')
    .option('--all', 'to everyone')
    .option('--speed <n>', 'with --all: messages a second over the cluster', wholeNumber(0, 1_000_000))
    .requiredOption('--operation <n>', 'operation of the frame that clients receive', operation)
    .option('--body <text>', 'the message')
    .option('--body-file <file>', 'the message from a file; - is standard input')
    .option('--id <id>', 'message id, to repeat a push safely; default a fresh one')
    .option(
      '--class <class>',
      'durable or ephemeral; default what the target has',
      oneOf('durable', 'ephemeral'),
    )
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
  const request = {
    id,
    target: targetOf(options),
    operation: options.operation,
    body: await bodyOf(options),
    class: classOf(options.class),
  } as const;
  // Loaded when it is needed: the other commands need no gRPC.
  const [{ withLogic }, { call }, { protos }, { outcomeOf }] = await Promise.all([
    import('../client/logic-client.js'),
    import('@halley/cluster/grpc/client'),
    import('@halley/cluster/grpc/protos'),
    import('@halley/cluster/grpc/status'),
  ]);
  try {
    const reply = await withLogic(protos.halley.push.v1.PushService, options, (client) =>
      call(client.Push.bind(client), request, { deadlineMs: options.deadlineMs }),
    );
    print(
      options.json ? JSON.stringify({ outcome: 'ok', id: reply?.id }) : `${colours.green('ok')} ${reply?.id}`,
    );
    return 0;
  } catch (error) {
    const told = HalleyError.from(error);
    const outcome = outcomeOf(told);
    tellFailure(told, outcome, id, options);
    return outcome === 'unknown' ? 2 : 1;
  }
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
      JSON.stringify({ outcome, id, code, message, ...(retryAfterMs === undefined ? {} : { retryAfterMs }) }),
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

/** The fields of the oneof in `halley.push.v1.Target`. */
interface Target {
  readonly users?: { readonly mids: string[] };
  readonly keys?: { readonly keys: string[] };
  readonly room?: string;
  readonly everyone?: { readonly speed: number };
}

function targetOf({ users, keys, room, all, speed }: PushOptions): Target {
  const targets: Target[] = [];
  if (users) targets.push({ users: { mids: users } });
  if (keys) targets.push({ keys: { keys } });
  if (room !== undefined) targets.push({ room });
  if (all) targets.push({ everyone: { speed: speed ?? 0 } });
  const [target] = targets;
  if (!target || targets.length > 1) {
    throw new HalleyError(
      'invalid_argument',
      'say whom to push to: one of --users, --keys, --room and --all',
    );
  }
  return target;
}

async function bodyOf({ body, bodyFile }: PushOptions): Promise<Buffer> {
  if (body !== undefined && bodyFile === undefined) return Buffer.from(body);
  if (bodyFile === '-' && body === undefined) return buffer(process.stdin);
  if (bodyFile !== undefined && body === undefined) {
    return readFile(bodyFile).catch((error: unknown) => {
      throw new HalleyError('invalid_argument', `--body-file ${bodyFile} cannot be read`, { cause: error });
    });
  }
  throw new HalleyError(
    'invalid_argument',
    'say what to push: --body TEXT, or --body-file FILE (- is standard input)',
  );
}

function classOf(name: PushOptions['class']) {
  if (name === 'durable') return 'DELIVERY_CLASS_DURABLE';
  return name === 'ephemeral' ? 'DELIVERY_CLASS_EPHEMERAL' : 'DELIVERY_CLASS_UNSPECIFIED';
}

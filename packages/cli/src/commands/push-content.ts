import { readFile } from 'node:fs/promises';
import { buffer } from 'node:stream/consumers';

import { HalleyError } from '@halley/protocol/error';
import type { Command } from 'commander';

import { listOf, oneOf, operation, someText, userId, wholeNumber } from '../arguments.js';
import { duration } from '../duration.js';

/** Options that say whom and what to push, of every command that does. */
export interface ContentOptions {
  readonly users?: string[];
  readonly keys?: string[];
  readonly room?: string;
  readonly all?: true;
  readonly speed?: number;
  readonly operation: number;
  readonly body?: string;
  readonly bodyFile?: string;
  readonly class?: 'durable' | 'ephemeral';
  readonly collapseKey?: string;
  readonly retention?: number;
  readonly bulk?: true;
}

/** Adds the options of {@link ContentOptions}. */
export function addContentOptions(command: Command): Command {
  return command
    .option('--users <ids>', 'to these users, separated by commas', listOf(userId))
    .option(
      '--keys <keys>',
      'to these connections, separated by commas',
      listOf((text) => text),
    )
    .option('--room <room>', 'to this room, as live://1000', someText)
    .option('--all', 'to everyone')
    .option('--speed <n>', 'with --all: messages a second over the cluster', wholeNumber(0, 1_000_000))
    .requiredOption('--operation <n>', 'operation of the frame that clients receive', operation)
    .option('--body <text>', 'the message')
    .option('--body-file <file>', 'the message from a file; - is standard input')
    .option(
      '--class <class>',
      'durable or ephemeral; default what the target has',
      oneOf('durable', 'ephemeral'),
    )
    .option('--collapse-key <key>', 'who catches up is shown the newest with this key alone', someText)
    .option('--retention <duration>', 'keep it for so long at most, as 3d', duration)
    .option('--bulk', 'wait while there is a backlog of other pushes');
}

/** What {@link ContentOptions} say, as gRPC has it. Throws `invalid_argument`. */
export async function contentOf(options: ContentOptions) {
  return {
    target: targetOf(options),
    operation: options.operation,
    body: await bodyOf(options),
    class: classOf(options.class),
    collapse_key: options.collapseKey ?? '',
    retention_ms: options.retention ?? 0,
    priority: options.bulk ? 'PRIORITY_BULK' : 'PRIORITY_UNSPECIFIED',
  } as const;
}

/** The fields of the oneof in `halley.push.v1.Target`. */
interface Target {
  readonly users?: { readonly mids: string[] };
  readonly keys?: { readonly keys: string[] };
  readonly room?: string;
  readonly everyone?: { readonly speed: number };
}

function targetOf({ users, keys, room, all, speed }: ContentOptions): Target {
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

async function bodyOf({ body, bodyFile }: ContentOptions): Promise<Buffer> {
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

function classOf(name: ContentOptions['class']) {
  if (name === 'durable') return 'DELIVERY_CLASS_DURABLE';
  return name === 'ephemeral' ? 'DELIVERY_CLASS_EPHEMERAL' : 'DELIVERY_CLASS_UNSPECIFIED';
}

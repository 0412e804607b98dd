import type { DeadLetter__Output } from '@halley/cluster/grpc/gen/halley/push/v1/DeadLetter';
import type { RequeueResult__Output } from '@halley/cluster/grpc/gen/halley/push/v1/RequeueResult';
import { type Command, InvalidArgumentError } from 'commander';

import { wholeNumber } from '../arguments.js';
import { bodyJson, shownBody, shownText } from '../body-text.js';
import { loadGrpc } from '../client/load-grpc.js';
import { addLogicOptions, type LogicOptions } from '../client/logic-options.js';
import { timeText } from '../duration.js';
import { colours, print, table } from '../terminal.js';

interface ListOptions extends LogicOptions {
  readonly limit: number;
  readonly before?: string;
  readonly topic?: string;
  readonly reason?: string;
  readonly json?: true;
}

interface RequeueOptions extends LogicOptions {
  readonly force?: true;
  readonly json?: true;
}

const EXAMPLES = `
Examples:
  halley dead list --reason undecodable
  halley dead show 17
  halley dead requeue 17 18

A dead letter is a record of the bus that could not be taken in: halley-dead has it, and this list some
seconds later. Requeued, it stands again where it came from.

Exit code of requeue: 0 when all are in their topics; 1 when one is refused; 2 when that of one is not known.`;

/** `halley dead …`: records that could not be taken in. */
export function registerDead(program: Command): void {
  const dead = program
    .command('dead')
    .helpCommand(false)
    .description('list dead letters, and append them again to where they came from')
    .addHelpText('after', EXAMPLES);
  const list = dead
    .command('list')
    .description('what was put aside, the newest first')
    .option('--limit <n>', 'at most so many', wholeNumber(1, 1_000), 50)
    .option('--before <id>', 'only older ones: the last of the page before', letterId)
    .option('--topic <topic>', 'only of this topic')
    .option('--reason <reason>', 'only for this reason')
    .option('--json', 'print JSON');
  addLogicOptions(list).action(listLetters);
  const show = dead
    .command('show')
    .argument('<id>', 'of the letter', letterId)
    .description('one letter with what the record held')
    .option('--json', 'print JSON');
  addLogicOptions(show).action(showLetter);
  const requeue = dead
    .command('requeue')
    .argument('<ids...>', 'of the letters', letterIds)
    .description('append records again to where they came from')
    .option('--force', 'also what was requeued before')
    .option('--json', 'print JSON');
  addLogicOptions(requeue).action(async (ids: string[], options: RequeueOptions) => {
    process.exitCode = await requeueLetters(ids, options);
  });
}

async function listLetters(options: ListOptions): Promise<void> {
  const { withLogic, call, protos } = await loadGrpc();
  const { limit, before = '0', topic = '', reason = '' } = options;
  const { letters, more } = await withLogic(protos.halley.push.v1.DeadLetterService, options, (client) =>
    call(client.ListDeadLetters.bind(client), { limit, before, topic, reason }),
  );
  if (options.json) {
    print(JSON.stringify({ letters: letters.map(headJson), more }, undefined, 2));
    return;
  }
  for (const line of letterTable(letters)) print(line);
  if (more) print(colours.dim(`There are more: --before ${letters.at(-1)?.id}`));
}

async function showLetter(id: string, options: LogicOptions & { readonly json?: true }): Promise<void> {
  const { withLogic, call, protos } = await loadGrpc();
  const letter = await withLogic(protos.halley.push.v1.DeadLetterService, options, (client) =>
    call(client.GetDeadLetter.bind(client), { id }),
  );
  if (options.json) {
    const { key, headers, value } = letter;
    print(JSON.stringify({ ...headJson(letter), key, headers, ...bodyJson(value, 'value') }, undefined, 2));
  } else for (const line of letterLines(letter)) print(line);
}

async function requeueLetters(ids: string[], options: RequeueOptions): Promise<number> {
  const { withLogic, call, protos } = await loadGrpc();
  const { results } = await withLogic(protos.halley.push.v1.DeadLetterService, options, (client) =>
    call(client.RequeueDeadLetters.bind(client), { ids, force: options.force ?? false }),
  );
  for (const result of results) print(options.json ? JSON.stringify(resultJson(result)) : resultLine(result));
  if (results.some(({ outcome }) => outcome === 'OUTCOME_UNKNOWN')) return 2;
  return results.every(({ outcome }) => outcome === 'OUTCOME_OK') ? 0 : 1;
}

/** Dead letters, a line each. */
export function letterTable(letters: readonly DeadLetter__Output[]): string[] {
  if (letters.length === 0) return ['There are no dead letters.'];
  const rows = letters.map((letter) => [
    letter.id,
    timeText(Number(letter.at_ms)),
    letter.reason,
    `${letter.topic}/${letter.partition}@${letter.offset}`,
    letter.value_bytes,
    letter.requeued_at_ms === '0' ? '-' : timeText(Number(letter.requeued_at_ms)),
  ]);
  return table(['ID', 'PUT ASIDE', 'REASON', 'FROM', 'BYTES', 'REQUEUED'], rows);
}

function letterLines(letter: DeadLetter__Output): string[] {
  const headers = Object.entries(letter.headers).map(([name, value]) => `${name}: ${value}`);
  const fields: [string, string][] = [
    ['id', letter.id],
    ['put aside', timeText(Number(letter.at_ms))],
    ['from', `${letter.topic}, partition ${letter.partition}, offset ${letter.offset}`],
    ['reason', letter.reason],
    ['detail', letter.detail],
    ['requeued', letter.requeued_at_ms === '0' ? '' : timeText(Number(letter.requeued_at_ms))],
    ['key', letter.key],
    ['headers', headers.join(', ')],
    [
      'value',
      `${shownBody(letter.value)}${letter.cut ? ` … (${letter.value_bytes} bytes, not all was kept)` : ''}`,
    ],
  ];
  return fields
    .filter(([, value]) => value !== '')
    .map(([name, value]) => `${colours.dim(name.padEnd(12))} ${shownText(value)}`);
}

function headJson({ key: _key, headers: _headers, value: _value, ...head }: DeadLetter__Output) {
  return head;
}

function resultJson({ id, outcome, code, message }: RequeueResult__Output) {
  const word = outcomeWord(outcome);
  return { id, outcome: word, ...(word !== 'ok' && { code, message }) };
}

function resultLine({ id, outcome, code, message }: RequeueResult__Output): string {
  const word = outcomeWord(outcome);
  return word === 'ok' ? `${colours.green('ok')} ${id}` : `${colours.red(word)} ${id}: ${code}: ${message}`;
}

function outcomeWord(outcome: string): string {
  return outcome.replace(/^OUTCOME_/, '').toLowerCase();
}

function letterId(text: string): string {
  if (!/^[1-9]\d{0,15}$/.test(text))
    throw new InvalidArgumentError('The id of a dead letter is a number above 0.');
  return text;
}

function letterIds(text: string, before: string[] | undefined): string[] {
  return [...(before ?? []), letterId(text)];
}

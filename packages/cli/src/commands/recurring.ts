import type { Recurring__Output } from '@halley/cluster/grpc/gen/halley/push/v1/Recurring';
import type { Command } from 'commander';

import { wholeNumber } from '../arguments.js';
import { bodyJson, shownBody } from '../body-text.js';
import { loadGrpc } from '../client/load-grpc.js';
import { addLogicOptions, type LogicOptions } from '../client/logic-options.js';
import { aheadText, duration, durationText, pointInTime, timeText } from '../duration.js';
import { colours, print, table } from '../terminal.js';
import { addContentOptions, type ContentOptions, contentOf } from './push-content.js';
import { asJson, targetText } from './schedule-words.js';

interface PutOptions extends LogicOptions, ContentOptions {
  readonly cron: string;
  readonly timezone?: string;
  readonly endAt?: number;
  readonly expireIn?: number;
  readonly json?: true;
}

interface ListOptions extends LogicOptions {
  readonly limit: number;
  readonly page?: string;
  readonly json?: true;
}

const PUT_EXAMPLES = `
Examples:
  halley schedule put stand-up --cron '55 8 * * 1-5' --timezone Europe/Berlin \\
    --room chat://team --operation 1000 --body 'stand-up in five minutes' --expire-in 5m
  halley schedule put digest --cron @daily --users 1 --operation 1000 --body 'what you missed'

The expression has five fields (minute, hour, day of the month, month, day of the week), or six with
the second before them. An occurrence is a push with the id NAME@TIME, in Unix milliseconds.`;

/** `halley schedule put|recurring|delete`: recurring pushes. */
export function registerRecurring(schedule: Command): void {
  const put = schedule
    .command('put <name>')
    .description('make a recurring push, or put it in the place of that by this name')
    .requiredOption('--cron <expression>', "when, as '55 8 * * 1-5' or @daily")
    .option('--timezone <name>', 'of the expression, as Europe/Berlin; default UTC')
    .option('--end-at <time>', 'no occurrence after this', pointInTime)
    .option('--expire-in <duration>', 'an occurrence is of no use so long after its time', duration);
  addContentOptions(put).option('--json', 'print JSON').addHelpText('after', PUT_EXAMPLES);
  addLogicOptions(put).action(putRecurring);
  const list = schedule
    .command('recurring [name]')
    .description('the recurring pushes, or one of them')
    .option('--limit <n>', 'at most so many', wholeNumber(1, 1_000), 100)
    .option('--page <page>', 'the page that the one before named')
    .option('--json', 'print JSON');
  addLogicOptions(list).action((name: string | undefined, options: ListOptions) =>
    name === undefined ? listRecurring(options) : showRecurring(name, options),
  );
  const remove = schedule
    .command('delete <name>')
    .description('end a recurring push')
    .option('--json', 'print JSON');
  addLogicOptions(remove).action(deleteRecurring);
}

async function putRecurring(name: string, options: PutOptions): Promise<void> {
  const push = await contentOf(options);
  const { withLogic, call, protos } = await loadGrpc();
  const request = {
    name,
    cron: options.cron,
    time_zone: options.timezone ?? '',
    push,
    end_at_ms: options.endAt ?? 0,
    expire_after_ms: options.expireIn ?? 0,
  };
  const recurring = await withLogic(protos.halley.push.v1.ScheduleService, options, (client) =>
    call(client.PutRecurring.bind(client), request),
  );
  if (options.json) print(JSON.stringify(recurringJson(recurring, true), undefined, 2));
  else print(`${colours.green('ok')} ${recurring.name}, next ${nextText(recurring, Date.now())}`);
}

async function listRecurring(options: ListOptions): Promise<void> {
  const { withLogic, call, protos } = await loadGrpc();
  const { limit, page = '' } = options;
  const { recurring, next_page } = await withLogic(protos.halley.push.v1.ScheduleService, options, (client) =>
    call(client.ListRecurring.bind(client), { limit, page }),
  );
  if (options.json) {
    print(
      JSON.stringify(
        { recurring: recurring.map((one) => recurringJson(one, false)), next_page },
        undefined,
        2,
      ),
    );
    return;
  }
  for (const line of recurringTable(recurring, Date.now())) print(line);
  if (next_page !== '') print(colours.dim(`There are more: --page ${next_page}`));
}

async function showRecurring(name: string, options: ListOptions): Promise<void> {
  const { withLogic, call, protos } = await loadGrpc();
  const recurring = await withLogic(protos.halley.push.v1.ScheduleService, options, (client) =>
    call(client.GetRecurring.bind(client), { name }),
  );
  if (options.json) print(JSON.stringify(recurringJson(recurring, true), undefined, 2));
  else for (const line of recurringLines(recurring, Date.now())) print(line);
}

async function deleteRecurring(
  name: string,
  options: LogicOptions & { readonly json?: true },
): Promise<void> {
  const { withLogic, call, protos } = await loadGrpc();
  await withLogic(protos.halley.push.v1.ScheduleService, options, (client) =>
    call(client.DeleteRecurring.bind(client), { name }),
  );
  print(options.json ? JSON.stringify({ name, deleted: true }) : `${colours.green('deleted')} ${name}`);
}

/** Recurring pushes, a line each. */
export function recurringTable(recurring: readonly Recurring__Output[], nowMs: number): string[] {
  if (recurring.length === 0) return ['There is no recurring push.'];
  const rows = recurring.map((one) => [
    one.name,
    one.cron,
    one.time_zone || 'UTC',
    nextText(one, nowMs),
    targetText(one.push?.target ?? null),
    String(one.push?.operation ?? 0),
  ]);
  return table(['NAME', 'CRON', 'TIME ZONE', 'NEXT', 'TO', 'OPERATION'], rows);
}

function recurringLines(one: Recurring__Output, nowMs: number): string[] {
  const [endMs, lastMs, expireMs] = [one.end_at_ms, one.last_at_ms, one.expire_after_ms].map(Number);
  const fields: [string, string | undefined][] = [
    ['name', one.name],
    ['cron', `${one.cron} (${one.time_zone || 'UTC'})`],
    ['next', nextText(one, nowMs)],
    ['last', lastMs ? timeText(lastMs) : undefined],
    ['ends', endMs ? timeText(endMs) : undefined],
    ['expires', expireMs ? `${durationText(expireMs)} after its time` : undefined],
    ['missed', one.missed === '0' ? undefined : one.missed],
    ['to', targetText(one.push?.target ?? null)],
    ['operation', String(one.push?.operation ?? 0)],
    ['body', one.push ? shownBody(one.push.body) : undefined],
  ];
  return fields
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => `${colours.dim(name.padEnd(12))} ${value}`);
}

function nextText({ next_at_ms }: Recurring__Output, nowMs: number): string {
  return next_at_ms === '0' ? 'never: it has ended' : aheadText(Number(next_at_ms), nowMs);
}

function recurringJson({ push, ...rest }: Recurring__Output, whole: boolean) {
  if (!push) return asJson(rest);
  // An occurrence has an id and times of its own.
  const { body, id: _id, deliver_at_ms: _at, delay_ms: _delay, expire_at_ms: _until, ...content } = push;
  return { ...asJson(rest), push: { ...asJson(content), ...(whole && bodyJson(body)) } };
}

import type { Schedule__Output } from '@halley/cluster/grpc/gen/halley/push/v1/Schedule';
import type { Command } from 'commander';

import { listOf, oneOf, wholeNumber } from '../arguments.js';
import { bodyJson, shownBody } from '../body-text.js';
import { loadGrpc } from '../client/load-grpc.js';
import { addLogicOptions, type LogicOptions } from '../client/logic-options.js';
import { aheadText, durationText, timeText } from '../duration.js';
import { colours, print, table } from '../terminal.js';
import { registerRecurring } from './recurring.js';
import { asJson, classWord, stateWord, targetText } from './schedule-words.js';

interface ListOptions extends LogicOptions {
  readonly state?: string[];
  readonly limit: number;
  readonly page?: string;
  readonly json?: true;
}

interface OneOptions extends LogicOptions {
  readonly json?: true;
}

const STATES = ['waiting', 'firing', 'fired', 'cancelled', 'failed'] as const;

const EXAMPLES = `
Examples:
  halley push --users 1 --operation 1000 --body 'your table is ready' --delay 15m --id table-7
  halley schedule list
  halley schedule show table-7
  halley schedule cancel table-7
  halley schedule put stand-up --cron '55 8 * * 1-5' --timezone Europe/Berlin \\
    --room chat://team --operation 1000 --body 'stand-up in five minutes' --expire-in 5m
  halley schedule recurring
  halley schedule delete stand-up

Each API key sees its own alone.`;

/** `halley schedule …`: what waits for its time, and what comes again and again. */
export function registerSchedule(program: Command): void {
  const schedule = program
    .command('schedule')
    .helpCommand(false)
    .description('list, show and cancel pushes that wait; make recurring ones')
    .addHelpText('after', EXAMPLES);
  const list = schedule
    .command('list')
    .description('what waits for its time, the next first')
    .option(
      '--state <states>',
      `of these states: ${STATES.join(', ')}; default waiting and firing`,
      listOf(oneOf(...STATES)),
    )
    .option('--limit <n>', 'at most so many', wholeNumber(1, 1_000), 100)
    .option('--page <page>', 'the page that the one before named')
    .option('--json', 'print JSON');
  addLogicOptions(list).action(listSchedules);
  const show = schedule
    .command('show <id>')
    .description('one push that waits, or waited in the last day')
    .option('--json', 'print JSON');
  addLogicOptions(show).action(showSchedule);
  const cancel = schedule
    .command('cancel <id>')
    .description('take a waiting push back: it is never delivered')
    .option('--json', 'print JSON');
  addLogicOptions(cancel).action(cancelSchedule);
  registerRecurring(schedule);
}

async function listSchedules(options: ListOptions): Promise<void> {
  const { withLogic, call, protos } = await loadGrpc();
  const { state = [], limit, page = '' } = options;
  const states = state.map((word) => `SCHEDULE_STATE_${word.toUpperCase()}`) as never;
  const { schedules, next_page } = await withLogic(protos.halley.push.v1.ScheduleService, options, (client) =>
    call(client.ListSchedules.bind(client), { states, limit, page }),
  );
  if (options.json) {
    print(
      JSON.stringify(
        { schedules: schedules.map((one) => scheduleJson(one, false)), next_page },
        undefined,
        2,
      ),
    );
    return;
  }
  for (const line of scheduleTable(schedules, Date.now())) print(line);
  if (next_page !== '') print(colours.dim(`There are more: --page ${next_page}`));
}

async function showSchedule(id: string, options: OneOptions): Promise<void> {
  const { withLogic, call, protos } = await loadGrpc();
  const schedule = await withLogic(protos.halley.push.v1.ScheduleService, options, (client) =>
    call(client.GetSchedule.bind(client), { id }),
  );
  if (options.json) print(JSON.stringify(scheduleJson(schedule, true), undefined, 2));
  else for (const line of scheduleLines(schedule, Date.now())) print(line);
}

async function cancelSchedule(id: string, options: OneOptions): Promise<void> {
  const { withLogic, call, protos } = await loadGrpc();
  await withLogic(protos.halley.push.v1.ScheduleService, options, (client) =>
    call(client.Cancel.bind(client), { id }),
  );
  print(options.json ? JSON.stringify({ id, state: 'cancelled' }) : `${colours.green('cancelled')} ${id}`);
}

/** What waits, a line each. */
export function scheduleTable(schedules: readonly Schedule__Output[], nowMs: number): string[] {
  if (schedules.length === 0) return ['Nothing waits.'];
  const rows = schedules.map((one) => [
    one.id,
    kindText(one),
    stateWord(one.state),
    aheadText(Number(one.deliver_at_ms), nowMs),
    targetText(one.target),
    one.target ? String(one.operation) : '-',
    one.kind === 'SCHEDULE_KIND_DIGEST' ? '-' : one.body_bytes,
  ]);
  return table(['ID', 'KIND', 'STATE', 'DUE', 'TO', 'OPERATION', 'BYTES'], rows);
}

/** One, a field a line. */
export function scheduleLines(one: Schedule__Output, nowMs: number): string[] {
  const retentionMs = Number(one.retention_ms);
  const fields: [string, string | undefined][] = [
    ['id', one.id],
    ['kind', kindText(one)],
    ['state', stateWord(one.state)],
    ['due', aheadText(Number(one.deliver_at_ms), nowMs)],
    ['accepted', timeText(Number(one.accepted_at_ms))],
    ['expires', Number(one.expire_at_ms) > 0 ? aheadText(Number(one.expire_at_ms), nowMs) : undefined],
    ['to', one.target ? targetText(one.target) : undefined],
    ['operation', one.target ? String(one.operation) : undefined],
    ['class', classWord(one.class)],
    ['collapse key', one.collapse_key],
    ['retention', retentionMs > 0 ? durationText(retentionMs) : undefined],
    ['priority', one.priority === 'PRIORITY_BULK' ? 'bulk' : undefined],
    ['digest', one.digest_id],
    [
      'body',
      one.kind === 'SCHEDULE_KIND_DIGEST' ? 'made of its pushes when it is delivered' : shownBody(one.body),
    ],
  ];
  return fields
    .filter(([, value]) => value !== undefined && value !== '')
    .map(([name, value]) => `${colours.dim(name.padEnd(12))} ${value}`);
}

function kindText({ kind, group, count, recurring }: Schedule__Output): string {
  if (kind === 'SCHEDULE_KIND_DIGEST') return `digest of ${count} in ${group}`;
  if (kind === 'SCHEDULE_KIND_MEMBER') return group === '' ? 'in a digest' : `in a digest of ${group}`;
  return recurring === '' ? 'push' : `occurrence of ${recurring}`;
}

function scheduleJson(one: Schedule__Output, whole: boolean) {
  const { body, ...rest } = one;
  return { ...asJson(rest), ...(whole && bodyJson(body)) };
}

// Plants a bug into a process of the built command, from the outside: `node --import PATH/planted-bugs.mjs?bug=NAME
// packages/cli/bin/halley.js job …` changes the text of one compiled module as it is loaded. A module that was loaded with the bug
// is told on standard error; one that has not the text any more is not loaded at all, and the process ends.
import { writeSync } from 'node:fs';
import { register } from 'node:module';
import { isMainThread } from 'node:worker_threads';

/** By name: the tier that has the bug, the module of it, and which text becomes which. */
export const BUGS = {
  // Redis is empty, or behind: the job goes on with the batch that it has in hand, without what came before.
  'skip-the-rewind': {
    tier: 'job',
    module: '/packages/job/dist/consume/appender.js',
    changes: [
      [
        'await this.#restore();\n                return undefined;',
        'await this.deps.streams.restore(batch.shard, epoch, batch.before);\n                return this.take(chunk);',
      ],
      [
        "this.#readFrom(answer.applied, 'behind');\n                return undefined;",
        'this.#before = answer.applied;\n                return this.take(chunk);',
      ],
    ],
  },
  // Whatever a page covers, comet takes the stream to be level with what it was told of.
  'ignore-through': {
    tier: 'comet',
    module: '/packages/comet/dist/delivery/sequencer.js',
    changes: [
      [
        'this.#last = Math.max(before, lost ?? before, page.through);',
        'this.#last = Math.max(before, lost ?? before, page.through, this.#want);',
      ],
    ],
  },
  // The streams let go of entries before these are in the archive.
  'trim-early': {
    tier: 'job',
    module: '/packages/job/dist/archive/archive-round.js',
    changes: [
      [
        'stored = await archive.store(',
        'for (const { lane, page } of fresh) await this.deps.streams.trim(lane.shard, epoch, page.through);\n            stored = await archive.store(',
      ],
    ],
  },
  // Of a thousand writes to clients, one is left out.
  'drop-every-1000th-frame': {
    tier: 'comet',
    module: '/packages/comet/dist/delivery/outbox.js',
    changes: [
      [
        'this.#written += bytes.length;',
        'globalThis.plantedWrites = (globalThis.plantedWrites ?? 0) + 1;\n        if (globalThis.plantedWrites % 1_000 === 0) return;\n        this.#written += bytes.length;',
      ],
    ],
  },
  // What is due is taken up somewhat before.
  'fire-early': {
    tier: 'job',
    module: '/packages/store/dist/schedule/mariadb.js',
    changes: [
      ['nowMs: Number(row.now),', 'nowMs: Number(row.now) + 400,'],
      ['return Number(now);', 'return Number(now) + 400;'],
    ],
  },
  // Whoever fires again gives what is due another id.
  'fire-twice': {
    tier: 'job',
    module: '/packages/job/dist/schedule/records.js',
    changes: [
      ['records: records.map(({ partition', 'records: [...records, ...records].map(({ partition'],
      ['key, push }) => {', 'key, push }, index) => {'],
      ['const fields = { id,', 'const fields = { id: index < records.length ? id : `${id} again`,'],
    ],
  },
  // The answer is given, and nothing is marked.
  'forget-the-cancelled': {
    tier: 'logic',
    module: '/packages/logic/dist/schedule/calls.js',
    changes: [['await this.deps.schedules.cancel(caller, id);', "'cancelled';"]],
  },
};

/** What is to be planted, names separated by commas; the hooks run in a thread of their own, where it is handed over. */
let planted = new URL(import.meta.url).searchParams.get('bug')?.split(',') ?? [];

if (isMainThread && planted.length > 0) {
  const unknown = planted.find((bug) => !BUGS[bug]);
  if (unknown) throw new Error(`there is no bug ${unknown}`);
  register(import.meta.url, { data: planted });
}

/** Called in the hooks' thread. */
export function initialize(bugs) {
  planted = bugs;
}

/** Called for each module that is loaded. */
export async function load(url, context, next) {
  const loaded = await next(url, context);
  const bug = planted.find((name) => url.endsWith(BUGS[name].module));
  if (!bug) return loaded;
  let text = Buffer.from(loaded.source).toString();
  for (const [from, to] of BUGS[bug].changes) {
    if (text.split(from).length !== 2) throw new Error(`${bug} finds not one “${from}” in ${url}`);
    text = text.replace(from, () => to);
  }
  writeSync(2, `planted: ${bug}\n`);
  return { ...loaded, source: text };
}

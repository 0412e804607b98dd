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
    module: '/packages/job/dist/archive/archive-lane.js',
    changes: [
      [
        'const stored = await archive.store(',
        'await streams.trim(shard, epoch, page.through);\n                const stored = await archive.store(',
      ],
    ],
  },
  // Of a thousand writes to clients, one is left out.
  'drop-every-1000th-frame': {
    tier: 'comet',
    module: '/packages/comet/dist/delivery/outbox.js',
    changes: [
      [
        'this.socket.write(bytes);',
        'globalThis.plantedWrites = (globalThis.plantedWrites ?? 0) + 1;\n        if (globalThis.plantedWrites % 1_000 !== 0) this.socket.write(bytes);',
      ],
    ],
  },
};

/** What is to be planted; the hooks run in a thread of their own, where it is handed over. */
let planted = new URL(import.meta.url).searchParams.get('bug') ?? '';

if (isMainThread && planted !== '') {
  if (!BUGS[planted]) throw new Error(`there is no bug ${planted}`);
  register(import.meta.url, { data: planted });
}

/** Called in the hooks' thread. */
export function initialize(bug) {
  planted = bug;
}

/** Called for each module that is loaded. */
export async function load(url, context, next) {
  const loaded = await next(url, context);
  const bug = BUGS[planted];
  if (!url.endsWith(bug.module)) return loaded;
  let text = Buffer.from(loaded.source).toString();
  for (const [from, to] of bug.changes) {
    if (text.split(from).length !== 2) throw new Error(`${planted} finds not one “${from}” in ${url}`);
    text = text.replace(from, () => to);
  }
  writeSync(2, `planted: ${planted}\n`);
  return { ...loaded, source: text };
}

import { PARTITIONS, STREAMS } from './bus.js';
import { Draw } from './draw.js';
import { COMETS, JOBS, SENDERS } from './sizes.js';
import type { World } from './world.js';

/** One kind of step, and how often it comes among the others. */
interface Step {
  readonly name: string;
  readonly weight: number;
  run(world: World, draw: Draw): void;
}

const partition = (draw: Draw): number => draw.of('partition', PARTITIONS);
const job = (world: World, draw: Draw): World['jobs'][number] => world.jobs[draw.of('job', JOBS)]!;
const comet = (world: World, draw: Draw): World['comets'][number] => world.comets[draw.of('comet', COMETS)]!;
const device = (world: World, draw: Draw): World['devices'][number] =>
  world.devices[draw.of('device', world.devices.length)]!;

function times(count: number, run: () => void): void {
  for (let i = 0; i < count; i += 1) run();
}

/** What may happen, in any order. A step that finds nothing to do does nothing. */
const STEPS: readonly Step[] = [
  {
    name: 'push',
    weight: 18,
    run: (world, draw) => world.senders[draw.of('sender', SENDERS)]!.send(draw),
  },
  { name: 'late produce arrives', weight: 2, run: (world, draw) => world.bus.takeLate(draw.of('which', 2)) },
  {
    name: 'job takes in',
    weight: 22,
    run: (world, draw) => {
      const [of, at] = [job(world, draw), partition(draw)];
      const polled = draw.of('polled', 3) + 1;
      times(draw.of('steps', 4) + 1, () => of.take(at, polled));
    },
  },
  {
    name: 'job takes in, and the answer is lost',
    weight: 2,
    run: (world, draw) => job(world, draw).take(partition(draw), 2, true),
  },
  {
    name: 'job archives',
    weight: 8,
    run: (world, draw) => {
      const [of, at] = [job(world, draw), partition(draw)];
      const scanned = draw.of('scanned', 3) + 1;
      times(draw.of('steps', 3) + 1, () => of.archive(at, scanned));
    },
  },
  {
    name: 'job catches up',
    weight: 6,
    run: (world, draw) => {
      const [of, at] = [job(world, draw), partition(draw)];
      times(12, () => of.take(at));
      if (draw.of('archives', 2) === 0) return;
      times(12, () => of.archive(at));
      of.commit(at);
    },
  },
  { name: 'job commits', weight: 3, run: (world, draw) => job(world, draw).commit(partition(draw)) },
  { name: 'job is killed', weight: 2, run: (world, draw) => job(world, draw).restart() },
  {
    name: 'hints arrive',
    weight: 26,
    run: (world, draw) => {
      const [to, from] = [comet(world, draw), draw.of('job', JOBS)];
      times(draw.of('count', 5) + 1, () => to.deliver(from, 0, false));
    },
  },
  {
    name: 'hint arrives before another or twice',
    weight: 3,
    run: (world, draw) =>
      comet(world, draw).deliver(draw.of('job', JOBS), draw.of('which', 3), draw.of('again', 2) === 1),
  },
  {
    name: 'hint is lost',
    weight: 3,
    run: (world, draw) => {
      comet(world, draw).queues[draw.of('job', JOBS)]!.hints.splice(draw.of('which', 3), 1);
    },
  },
  {
    name: 'connect',
    weight: 9,
    run: (world, draw) =>
      world.connect(device(world, draw), comet(world, draw), draw.of('unnoticed', 2) === 1),
  },
  {
    name: 'disconnect',
    weight: 1,
    run: (world, draw) => world.disconnect(device(world, draw), draw.of('unnoticed', 2) === 1),
  },
  {
    name: 'pull',
    weight: 16,
    run: (world, draw) => {
      const { connection } = device(world, draw);
      times(draw.of('steps', 6) + 1, () => connection?.pull());
    },
  },
  { name: 'read is given up', weight: 2, run: (world, draw) => device(world, draw).connection?.giveUpRead() },
  {
    name: 'late page arrives',
    weight: 2,
    run: (world, draw) => device(world, draw).connection?.lateAnswer(),
  },
  {
    name: 'client reads',
    weight: 12,
    run: (world, draw) => world.receive(device(world, draw), draw.of('frames', 4) + 1),
  },
  { name: 'client acknowledges', weight: 6, run: (world, draw) => world.acknowledge(device(world, draw)) },
  { name: 'cursor arrives', weight: 4, run: (world, draw) => world.writeCursor(draw.of('which', 3)) },
  {
    name: 'client catches up',
    weight: 8,
    run: (world, draw) => {
      const of = device(world, draw);
      times(12, () => {
        of.connection?.pull();
        world.receive(of, Number.POSITIVE_INFINITY);
        world.acknowledge(of);
      });
      // The last one says it all.
      world.cursorWrites.splice(-11, 10);
    },
  },
  { name: 'renew', weight: 3, run: (world, draw) => comet(world, draw).renew() },
  { name: 'comet is killed', weight: 1, run: (world, draw) => comet(world, draw).kill() },
  { name: 'Redis is emptied', weight: 1, run: (world, draw) => world.redis.empty(partition(draw)) },
  {
    name: 'Redis fails over',
    weight: 2,
    run: (world, draw) => world.redis.failOver(partition(draw), draw.of('lag', 6)),
  },
  {
    name: 'retention',
    weight: 2,
    run: (world, draw) => world.archive.retain(draw.of('stream', STREAMS), draw.of('rows', 3) + 1),
  },
  {
    name: 'hours pass',
    weight: 1,
    run: (world, draw) => {
      world.hours += [1, 10, 19, 25, 50][draw.of('hours', 5)]!;
    },
  },
];

const BY_WEIGHT = STEPS.flatMap((step) => Array.from({ length: step.weight }, () => step));

/** Runs one step of a schedule; each is a number. With `trace` it says there what it did. */
export function runStep(world: World, seed: number, trace?: string[]): void {
  const step = BY_WEIGHT[seed % BY_WEIGHT.length]!;
  const choices: string[] | undefined = trace && [];
  try {
    step.run(world, new Draw(Math.floor(seed / BY_WEIGHT.length), choices));
  } finally {
    trace?.push([step.name, ...(choices ?? [])].join(', '));
  }
}

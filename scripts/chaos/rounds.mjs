/** What each round breaks, as `halley check --faults` takes it: for how long it stays broken, and how long with `--short`. */
export const FAULTS = {
  'kill-comet': {},
  'kill-logic': {},
  'kill-job': {},
  'kill-random': {},
  'kill-all': {},
  'pause-comet': { holdSeconds: 30, shortSeconds: 10 },
  'pause-logic': { holdSeconds: 30, shortSeconds: 10 },
  'pause-job': { holdSeconds: 30, shortSeconds: 10 },
  'restart-kafka': { holdSeconds: 10, shortSeconds: 3 },
  'restart-redis': { holdSeconds: 10, shortSeconds: 3 },
  'restart-zookeeper': { holdSeconds: 60, shortSeconds: 10 },
  'restart-mariadb': { holdSeconds: 60, shortSeconds: 10 },
  'pause-kafka': { holdSeconds: 15, shortSeconds: 5 },
  'pause-redis': { holdSeconds: 15, shortSeconds: 5 },
  'pause-zookeeper': { holdSeconds: 15, shortSeconds: 5 },
  'pause-mariadb': { holdSeconds: 15, shortSeconds: 5 },
  'redis-flush': {},
  'expire-sessions': {},
  'partition-comet': { holdSeconds: 30, shortSeconds: 10 },
  'partition-logic': { holdSeconds: 30, shortSeconds: 10 },
  'partition-redis': { holdSeconds: 30, shortSeconds: 10 },
  'partition-zookeeper': { holdSeconds: 30, shortSeconds: 10 },
  'partition-mariadb': { holdSeconds: 30, shortSeconds: 10 },
  'drop-clients': {},
  'churn-client': { holdSeconds: 60, shortSeconds: 10 },
  mixed: { faults: 'tiers,redis-flush,restart-kafka,restart-mariadb' },
};

/** With the bus in Redis there is no Kafka, and emptying Redis loses what was accepted (docs/guarantees.md). */
const REDIS_BUS_FAULTS = {
  ...Object.fromEntries(
    Object.entries(FAULTS).filter(([name]) => !name.endsWith('-kafka') && name !== 'redis-flush'),
  ),
  mixed: { faults: 'tiers,restart-redis,restart-mariadb' },
};

const MINUTES = 3;
const SHORT_MINUTES = 0.5;
/** Beside the fault itself: calm before and after, and putting it right. */
const AROUND_SECONDS = 20;
/** Several faults in a round take their turns. */
const MIXED_SECONDS = 75;

/** The rounds that are asked for, each with its faults and how many seconds it pushes. Throws on a name that is none. */
export function roundsOf({ only, short = false, minutes, bus = 'kafka' }) {
  if (bus !== 'kafka' && bus !== 'redis') throw new Error(`--bus ${bus} is neither kafka nor redis`);
  const faultsOf = bus === 'redis' ? REDIS_BUS_FAULTS : FAULTS;
  const names = only === undefined ? Object.keys(faultsOf) : only.split(',').map((name) => name.trim());
  const seconds = Math.round(60 * Number(minutes ?? (short ? SHORT_MINUTES : MINUTES)));
  if (!(seconds > 0)) throw new Error(`--minutes ${minutes} is no time`);
  return names.map((name) => {
    const fault = faultsOf[name];
    if (!fault) throw new Error(`${name} is no round; there are ${Object.keys(faultsOf).join(', ')}`);
    const { faults = name, holdSeconds, shortSeconds } = fault;
    const hold = short ? shortSeconds : holdSeconds;
    const least = fault.faults === undefined ? (hold ?? 2) + AROUND_SECONDS : MIXED_SECONDS;
    return {
      name,
      faults: hold === undefined ? faults : `${faults}:${hold}`,
      seconds: Math.max(seconds, least),
    };
  });
}

/**
 * By how much offsets go on higher once Redis has started again, failed over or lost a partition: more records than can be
 * lost by that, or than a reader can be ahead of what it has committed, so that no offset is given twice.
 */
export const SKIPPED_OFFSETS = 2 ** 24;

/**
 * Keys of the bus. Everything of one partition has one hash tag, everything of one group another, so that a script's keys
 * lie in one slot of a cluster and the slots are spread.
 */
export class RedisBusKeys {
  constructor(private readonly prefix: string) {}

  /** Epoch and topics. */
  get meta(): string {
    return `${this.prefix}bus:{bus}:meta`;
  }

  /** Held by who trims in this interval. */
  get trimmer(): string {
    return `${this.prefix}bus:{bus}:trimmer`;
  }

  /** When the groups of a topic were last seen. */
  groups(topic: string): string {
    return `${this.prefix}bus:{bus}:groups:${topic}`;
  }

  /** State, log and producers of a partition. */
  partition(topic: string, partition: number): [state: string, log: string, producers: string] {
    const base = `${this.prefix}bus:{${topic}/${partition}}`;
    return [`${base}:state`, `${base}:log`, `${base}:producers`];
  }

  /** Members, joined, targets, owners, commits and what is about a group, as group.lua names them. */
  group(group: string): string[] {
    return ['members', 'joined', 'targets', 'owners', 'commits', 'about'].map(
      (name) => `${this.prefix}bus:{g/${group}}:${name}`,
    );
  }

  commits(group: string): string {
    return `${this.prefix}bus:{g/${group}}:commits`;
  }

  /** The commits of all groups, as a pattern of keys. */
  get allCommits(): string {
    return `${this.prefix.replaceAll(/[*?[\]\\]/g, String.raw`\$&`)}bus:{g/*}:commits`;
  }

  /** The channel that tells of new records of a topic; the messages are partitions. */
  newRecords(topic: string): string {
    return `${this.prefix}bus:new:${topic}`;
  }

  /** The channel that tells of a change in a group. */
  changes(group: string): string {
    return `${this.prefix}bus:group:${group}`;
  }
}

/** How the scripts name a partition of a topic. */
export function fieldOf(topic: string, partition: number): string {
  return `${topic}/${partition}`;
}

/** The inverse of {@link fieldOf}. */
export function partitionOf(field: string): { readonly topic: string; readonly partition: number } {
  const slash = field.lastIndexOf('/');
  return { topic: field.slice(0, slash), partition: Number(field.slice(slash + 1)) };
}

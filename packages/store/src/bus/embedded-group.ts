import type { TopicPartition } from './bus.js';
import type { EmbeddedMember } from './embedded-member.js';

/**
 * The members of one consumer group in this process. Every change shares each topic's partitions evenly among the
 * members that read it, and moves no more of them than that needs.
 */
export class EmbeddedGroup {
  readonly #members: EmbeddedMember[] = [];

  constructor(private readonly partitionsPerTopic: number) {}

  join(member: EmbeddedMember): void {
    this.#members.push(member);
    this.#share();
  }

  leave(member: EmbeddedMember): void {
    const index = this.#members.indexOf(member);
    if (index < 0) return;
    this.#members.splice(index, 1);
    member.release([]);
    this.#share();
  }

  wake(at: TopicPartition): void {
    for (const member of this.#members) member.wake(at);
  }

  #share(): void {
    const shares = new Map(this.#members.map((member) => [member, [] as TopicPartition[]]));
    for (const topic of new Set(this.#members.flatMap((member) => member.topics))) {
      const readers = this.#members.filter((member) => member.topics.includes(topic));
      const owned = assign(
        this.partitionsPerTopic,
        readers.map((member) => ownedOf(member, topic)),
      );
      readers.forEach((member, index) => {
        shares.get(member)?.push(...owned[index]!.map((partition) => ({ topic, partition })));
      });
    }
    for (const [member, share] of shares) member.release(share);
    for (const [member, share] of shares) member.acquire(share);
  }
}

function ownedOf(member: EmbeddedMember, topic: string): number[] {
  return member
    .assigned()
    .filter((at) => at.topic === topic)
    .map((at) => at.partition);
}

/** Evens out who owns which of `partitions`; the counts differ by one at most. */
export function assign(partitions: number, owned: readonly (readonly number[])[]): number[][] {
  const least = Math.floor(partitions / owned.length);
  let extra = partitions - least * owned.length;
  const shares = owned.map((own) => {
    const keep = own.length > least && extra > 0 ? least + 1 : least;
    if (keep > least) extra -= 1;
    return own.slice(0, keep);
  });
  const taken = new Set(shares.flat());
  const free = Array.from({ length: partitions }, (_, partition) => partition).filter(
    (partition) => !taken.has(partition),
  );
  for (const share of shares) share.push(...free.splice(0, least - share.length));
  for (const share of shares) if (share.length === least) share.push(...free.splice(0, 1));
  return shares;
}

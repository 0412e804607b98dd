/** Which broker leads which partition, as last heard. */
export class Leaders {
  readonly #byTopic = new Map<string, Map<number, number>>();

  of(topic: string, partition: number): number | undefined {
    return this.#byTopic.get(topic)?.get(partition);
  }

  /** Takes over what the metadata of a topic say. */
  update(
    topic: string,
    partitions: readonly { readonly partitionId: number; readonly leader: number }[],
  ): void {
    this.#byTopic.set(topic, new Map(partitions.map(({ leader, partitionId }) => [partitionId, leader])));
  }
}

import { isDeepStrictEqual } from 'node:util';

import type { NodeId } from '@halley/protocol/ids';
import type { Logger } from '@halley/service/log';

import type { NodeRecord, TierView, ViewChange } from './registry.js';

/** The view that adapters fill: it is given whole sets of nodes and tells its listeners what differs. */
export class LiveView implements TierView {
  readonly #byId = new Map<NodeId, NodeRecord>();
  readonly #listeners = new Set<(change: ViewChange) => void>();
  #nodes: readonly NodeRecord[] = [];

  constructor(private readonly log: Logger) {}

  nodes(): readonly NodeRecord[] {
    return this.#nodes;
  }

  onChange(listener: (change: ViewChange) => void): () => void {
    const own = (change: ViewChange): void => listener(change);
    this.#listeners.add(own);
    return () => this.#listeners.delete(own);
  }

  /** Makes these the nodes of the tier. Tells nobody when nothing differs. */
  replace(records: readonly NodeRecord[]): void {
    const joined: NodeRecord[] = [];
    const changed: NodeRecord[] = [];
    const left: NodeRecord[] = [];
    const gone = new Map(this.#byId);
    for (const record of records) {
      const before = gone.get(record.id);
      gone.delete(record.id);
      if (!before) joined.push(record);
      else if (before.incarnation !== record.incarnation) {
        left.push(before);
        joined.push(record);
      } else if (!isDeepStrictEqual(before, record)) changed.push(record);
      else continue;
      this.#byId.set(record.id, record);
    }
    for (const [id, record] of gone) {
      this.#byId.delete(id);
      left.push(record);
    }
    if (joined.length + changed.length + left.length === 0) return;
    this.#nodes = Object.freeze([...this.#byId.values()]);
    this.#tell({ joined, changed, left });
  }

  #tell(change: ViewChange): void {
    for (const listener of this.#listeners) {
      try {
        listener(change);
      } catch (error) {
        this.log.error({ err: error }, 'a listener of the node registry threw');
      }
    }
  }
}

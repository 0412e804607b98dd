import type { DeliveryServiceClient } from '@halley/cluster/grpc/gen/halley/delivery/v1/DeliveryService';
import type { NodeRecord, TierView, ViewChange } from '@halley/cluster/registry/registry';
import type { NodeId, NodeRef } from '@halley/protocol/ids';
import type { Clock } from '@halley/service/clock';
import type { Service } from '@halley/service/lifecycle';
import type { Logger } from '@halley/service/log';

import type { Wakeup } from '../wakeup.js';
import { CometLink, type LinkLimits } from './comet-link.js';

export interface CometLinksDeps {
  readonly view: TierView;
  readonly hello: { readonly job: string; readonly job_incarnation: string; readonly epoch: string };
  readonly limits: LinkLimits;
  /** How long a push waits for a comet that a route names and that the registry has not shown yet. */
  readonly unknownCometGraceMs: number;
  connect(address: string): DeliveryServiceClient;
  readonly clock: Clock;
  readonly log: Logger;
  /** Woken when lanes that wait for a comet may look again. */
  readonly changed: Wakeup;
  onBreak(status: string): void;
}

const TICK_MS = 100;
/** How many incarnations without a link are remembered. */
const MAX_ABSENT = 1_000;

/** One link for each incarnation of a comet that the registry shows, or showed while its stream still works. */
export class CometLinks implements Service {
  readonly name = 'comet links';
  readonly #byNode = new Map<NodeId, CometLink[]>();
  /** Incarnations that routes name and that have no link: when each was first missed. */
  readonly #absent = new Map<string, number>();
  #unsubscribe: (() => void) | undefined;
  #timer: NodeJS.Timeout | undefined;
  #tickedAtMs = 0;

  constructor(private readonly deps: CometLinksDeps) {}

  async start(): Promise<void> {
    const { view, clock } = this.deps;
    this.#tickedAtMs = clock.monotonicMs();
    this.#unsubscribe = view.onChange((change) => this.#viewChanged(change));
    for (const record of view.nodes()) this.#add(record);
    this.#timer = setInterval(() => this.tick(), TICK_MS);
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
    this.#unsubscribe?.();
    for (const link of this.all()) link.leave('this job stops');
  }

  /** Every link that is not gone. */
  all(): CometLink[] {
    return [...this.#byNode.values()].flat();
  }

  /** The link to an incarnation; undefined when it has none. */
  find({ node, incarnation }: NodeRef): CometLink | undefined {
    return this.#byNode.get(node)?.find((link) => link.comet.incarnation === incarnation);
  }

  /** The comets that a push to everyone goes to: registered, or still answering. */
  everyone(): CometLink[] {
    return this.all().filter((link) => link.registered || link.state === 'live');
  }

  /** Whether lanes should wait before they offer more. */
  get congested(): boolean {
    for (const links of this.#byNode.values()) for (const link of links) if (link.congested) return true;
    return false;
  }

  /**
   * Whether one of these that has no link may get one soon: a comet that has just started can have routes before the
   * registry's news of it is here. Each incarnation is waited for once.
   */
  mayAppear(refs: Iterable<NodeRef>): boolean {
    const now = this.deps.clock.monotonicMs();
    let may = false;
    for (const ref of refs) {
      if (this.find(ref)) continue;
      const name = nameOf(ref);
      let missedAt = this.#absent.get(name);
      if (missedAt === undefined) {
        missedAt = now;
        this.#miss(name, now);
      }
      may ||= now - missedAt < this.deps.unknownCometGraceMs;
    }
    return may;
  }

  /** Lets the comets that hold a lane back longer than lanes wait lose what they have of it. */
  relieve(lane: string): number {
    let count = 0;
    for (const link of this.all()) if (link.lagging) count += link.relieve(lane);
    return count;
  }

  /** How many links are in which state. */
  states(): Map<CometLink['state'], number> {
    const states = new Map<CometLink['state'], number>([
      ['live', 0],
      ['connecting', 0],
      ['silent', 0],
    ]);
    for (const { state } of this.all()) states.set(state, (states.get(state) ?? 0) + 1);
    return states;
  }

  /** The timers of every link; public for tests with a clock of their own. */
  tick(): void {
    const now = this.deps.clock.monotonicMs();
    const pausedMs = Math.max(0, now - this.#tickedAtMs - 10 * TICK_MS);
    this.#tickedAtMs = now;
    for (const link of this.all()) link.tick(pausedMs);
    // Lanes also wait for a comet to appear, and for that wait to be over.
    this.deps.changed.wake();
  }

  #viewChanged({ joined, changed, left }: ViewChange): void {
    for (const record of left) this.find(refOf(record))?.vanished();
    for (const record of [...joined, ...changed]) this.#add(record);
    this.deps.changed.wake();
  }

  #add(record: NodeRecord): void {
    const links = this.#byNode.get(record.id) ?? [];
    let known = false;
    for (const link of links) {
      if (link.comet.incarnation === record.incarnation) {
        known = true;
        link.appeared();
      } else link.leave('started again');
    }
    if (known) return;
    if (!record.addresses.grpc) {
      this.deps.log.warn(
        { comet: record.id },
        'comet without a gRPC address: nothing can be delivered to it',
      );
      return;
    }
    this.#absent.delete(nameOf(refOf(record)));
    const { deps } = this;
    const link = new CometLink({
      ...deps,
      comet: record,
      onGone: () => this.#remove(link),
      onChange: () => deps.changed.wake(),
    });
    this.#byNode.set(record.id, [...(this.#byNode.get(record.id) ?? []), link]);
  }

  #remove(link: CometLink): void {
    const rest = (this.#byNode.get(link.comet.id) ?? []).filter((other) => other !== link);
    if (rest.length > 0) this.#byNode.set(link.comet.id, rest);
    else this.#byNode.delete(link.comet.id);
    // What still routes to it does not wait for it.
    this.#miss(nameOf(refOf(link.comet)), -Infinity);
  }

  #miss(name: string, sinceMs: number): void {
    this.#absent.set(name, sinceMs);
    if (this.#absent.size > MAX_ABSENT) this.#absent.delete(this.#absent.keys().next().value ?? '');
  }
}

function refOf(record: NodeRecord): NodeRef {
  return { node: record.id, incarnation: record.incarnation };
}

function nameOf({ node, incarnation }: NodeRef): string {
  return `${node} ${incarnation}`;
}

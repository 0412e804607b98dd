import type { InspectEntry } from '@halley/cluster/grpc/gen/halley/delivery/v1/InspectEntry';
import type { InspectRequest } from '@halley/cluster/grpc/gen/halley/delivery/v1/InspectRequest';
import type { InspectedStream__Output } from '@halley/cluster/grpc/gen/halley/delivery/v1/InspectedStream';
import type { NodeRef } from '@halley/protocol/ids';
import type { Logger } from '@halley/service/log';

import type { TracedEntry } from './trace.js';

/** Asks single comets. */
export interface CometLooks {
  /** How far the connections of a comet are; undefined when this start of it is gone, and its connections with it. */
  inspect(at: NodeRef, request: InspectRequest): Promise<readonly InspectedStream__Output[] | undefined>;
}

/** What is asked of one comet. */
export interface CometAsk {
  readonly at: NodeRef;
  readonly entries: readonly TracedEntry[];
}

/** What a comet said of one entry. */
export interface Looked {
  readonly at: NodeRef;
  readonly entry: TracedEntry;
  readonly found: InspectedStream__Output;
}

const ENTRIES_A_CALL = 1_000;

/** Asks comets, all at once, how far their connections are with entries. */
export async function lookAt(
  asks: readonly CometAsk[],
  maxConnections: number,
  { comets, log }: { readonly comets: CometLooks; readonly log: Logger },
): Promise<{ readonly looked: readonly Looked[]; readonly silent: readonly NodeRef[] }> {
  const silent: NodeRef[] = [];
  const calls = asks.flatMap(({ at, entries }) =>
    chunks(entries).map(async (chunk): Promise<readonly Looked[]> => {
      const request = {
        comet_incarnation: at.incarnation,
        entries: chunk.map(messageOf),
        max_connections: maxConnections,
      };
      try {
        const streams = (await comets.inspect(at, request)) ?? [];
        return streams.flatMap((found, index) => {
          const entry = chunk[index];
          return entry ? [{ at, entry, found }] : [];
        });
      } catch (error) {
        log.debug({ err: error, comet: at.node }, 'a comet could not be asked for its connections');
        silent.push(at);
        return [];
      }
    }),
  );
  return { looked: (await Promise.all(calls)).flat(), silent };
}

/** Groups what is to be asked by comet. */
export function asksOf(wanted: Iterable<readonly [NodeRef, TracedEntry]>): CometAsk[] {
  const asks = new Map<string, { at: NodeRef; entries: Set<TracedEntry> }>();
  for (const [at, entry] of wanted) {
    const name = nameOf(at);
    const known = asks.get(name);
    if (known) known.entries.add(entry);
    else asks.set(name, { at, entries: new Set([entry]) });
  }
  return [...asks.values()].map(({ at, entries }) => ({ at, entries: [...entries] }));
}

/** Tells starts of comets apart. */
export function nameOf({ node, incarnation }: NodeRef): string {
  return `${incarnation} ${node}`;
}

function messageOf({ stream, epoch, position, keys, operation }: TracedEntry): InspectEntry {
  return { stream, epoch, position, keys: [...keys], operation };
}

function chunks<Item>(items: readonly Item[]): Item[][] {
  const found: Item[][] = [];
  for (let at = 0; at < items.length; at += ENTRIES_A_CALL) found.push(items.slice(at, at + ENTRIES_A_CALL));
  return found;
}

import type { CloseCode } from '@halley/protocol/close-code';
import { HalleyError } from '@halley/protocol/error';
import type { NodeRef } from '@halley/protocol/ids';
import type { KickRequest } from '@halley/cluster/grpc/gen/halley/delivery/v1/KickRequest';
import type { Logger } from '@halley/service/log';
import type { Route } from '@halley/store/routes/routes';

import type { LogicMetrics } from '../metrics.js';

/** Calls single comets. */
export interface CometCalls {
  /** Answers how many connections were closed; 0 when this start of the comet is gone, and its connections with it. */
  kick(at: NodeRef, request: KickRequest): Promise<number>;
}

export interface KickerDeps {
  readonly comets: CometCalls;
  readonly metrics: LogicMetrics;
  readonly log: Logger;
}

/** Connections of one request to one comet. */
const MAX_KICKS_PER_CALL = 1_000;

/** Closes connections where they are, each only while it still belongs to the owner that the route names. */
export class Kicker {
  constructor(private readonly deps: KickerDeps) {}

  /** Answers how many were closed. Throws when a comet did not answer; the others have closed theirs. */
  async kick(routes: readonly Route[], code: CloseCode, reason: string, why: KickReason): Promise<number> {
    const calls = batchesByComet(routes).map(async ({ at, targets }) => {
      const request = {
        comet_incarnation: at.incarnation,
        targets: targets.map(({ mid, key, owner }) => ({ mid, key, owner })),
        code,
        reason,
      };
      try {
        const closed = await this.deps.comets.kick(at, request);
        this.deps.metrics.kicks.inc({ reason: why, outcome: 'ok' }, targets.length);
        return closed;
      } catch (error) {
        this.deps.metrics.kicks.inc({ reason: why, outcome: 'failed' }, targets.length);
        this.deps.log.warn({ err: error, comet: at.node }, 'a comet could not be asked to close connections');
        throw error;
      }
    });
    const answers = await Promise.allSettled(calls);
    const failed = answers.find((answer) => answer.status === 'rejected');
    if (failed) throw HalleyError.from(failed.reason);
    return answers.reduce((sum, answer) => sum + (answer.status === 'fulfilled' ? answer.value : 0), 0);
  }

  /** The same without waiting. What fails is closed when its comet renews its routes next. */
  kickLater(routes: readonly Route[], code: CloseCode, reason: string, why: KickReason): void {
    this.kick(routes, code, reason, why).catch(() => undefined);
  }
}

export type KickReason = 'taken_over' | 'disconnect';

function batchesByComet(routes: readonly Route[]): { at: NodeRef; targets: Route[] }[] {
  const open = new Map<string, { at: NodeRef; targets: Route[] }>();
  const batches: { at: NodeRef; targets: Route[] }[] = [];
  for (const route of routes) {
    const comet = `${route.at.incarnation} ${route.at.node}`;
    let batch = open.get(comet);
    if (!batch || batch.targets.length === MAX_KICKS_PER_CALL) {
      batch = { at: route.at, targets: [] };
      open.set(comet, batch);
      batches.push(batch);
    }
    batch.targets.push(route);
  }
  return batches;
}

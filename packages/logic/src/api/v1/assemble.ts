import type { TierView } from '@halley/cluster/registry/registry';

import type { DeadLetters } from '../../dead/dead-letters.js';
import type { ScheduleCalls } from '../../schedule/calls.js';
import type { LedgerCalls } from '../ledger-calls.js';
import type { PushCalls } from '../push-calls.js';
import type { SessionCalls } from '../session-calls.js';
import { deadLettersHttp } from './dead-letters.js';
import { historyHttp, type HistoryHttpDeps } from './history.js';
import { ledgerHttp } from './ledger.js';
import { pushHttp } from './push.js';
import type { V1Endpoint } from './route.js';
import { schedulesHttp } from './schedules.js';
import { sessionsHttp } from './sessions.js';

export interface V1Deps {
  readonly pushes: PushCalls;
  readonly sessions: SessionCalls;
  /** The views of every tier. */
  readonly tiers: readonly TierView[];
  readonly history: HistoryHttpDeps;
  readonly ledger: LedgerCalls;
  /** Undefined: not served. */
  readonly deadLetters: DeadLetters | undefined;
  readonly schedules: ScheduleCalls | undefined;
}

/** What is served below `/v1`. */
export function v1Endpoints(deps: V1Deps): readonly V1Endpoint[] {
  const { deadLetters, schedules } = deps;
  return [
    ...pushHttp(deps.pushes),
    ...(schedules ? schedulesHttp(schedules) : []),
    ...sessionsHttp(deps),
    ...historyHttp(deps.history),
    ...ledgerHttp(deps.ledger),
    ...(deadLetters ? deadLettersHttp(deadLetters) : []),
  ];
}

import type { AuthCheck } from '@halley/cluster/grpc/auth';
import { HalleyError } from '@halley/protocol/error';

import type { ApiKeys, ApiScope } from '../auth/api-key.js';
import type { LogicMetrics } from '../metrics.js';

/** The scope that each method of the business services needs. */
const SCOPES: Readonly<Record<string, ApiScope | readonly ApiScope[]>> = {
  'halley.push.v1.PushService/Push': 'push',
  'halley.push.v1.PushService/PushBatch': 'push',
  'halley.push.v1.PushService/PushStream': 'push',
  'halley.push.v1.PushService/GetPresence': 'presence',
  'halley.push.v1.PushService/ListNodes': 'nodes',
  'halley.push.v1.PushService/Disconnect': 'disconnect',
  'halley.push.v1.ScheduleService/Cancel': 'push',
  'halley.push.v1.ScheduleService/GetSchedule': 'push',
  'halley.push.v1.ScheduleService/ListSchedules': 'push',
  'halley.push.v1.ScheduleService/PutRecurring': 'push',
  'halley.push.v1.ScheduleService/GetRecurring': 'push',
  'halley.push.v1.ScheduleService/DeleteRecurring': 'push',
  'halley.push.v1.ScheduleService/ListRecurring': 'push',
  'halley.push.v1.UpstreamService/Receive': 'upstream',
  'halley.push.v1.HistoryService/ReadHistory': 'history',
  'halley.push.v1.LedgerService/Trace': ['push', 'trace'],
  'halley.push.v1.DeadLetterService/ListDeadLetters': 'dead-letters',
  'halley.push.v1.DeadLetterService/GetDeadLetter': 'dead-letters',
  'halley.push.v1.DeadLetterService/RequeueDeadLetters': 'dead-letters',
};

/** Checks the API key of a gRPC call: `authorization: Bearer KEY` or `x-api-key`. */
export function apiKeyCheck(keys: ApiKeys, metrics: LogicMetrics): AuthCheck {
  return ({ method, metadata }) => {
    const scope = SCOPES[method];
    try {
      if (!scope) throw new HalleyError('permission_denied', 'there is no such method');
      return keys.check({ authorization: text('authorization'), apiKey: text('x-api-key') }, scope);
    } catch (error) {
      metrics.apiRefusals.inc({ reason: HalleyError.from(error).code });
      throw error;
    }
    function text(name: string): string | undefined {
      const value = metadata.get(name)[0];
      return typeof value === 'string' ? value : undefined;
    }
  };
}

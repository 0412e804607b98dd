import { getDeadRoute, listDeadRoute, requeueRoute } from './dead-letters.js';
import { roomHistoryRoute, userHistoryRoute } from './history.js';
import { traceRoute } from './ledger.js';
import { batchRoute, pushRoute } from './push.js';
import type { V1Route } from './route.js';
import {
  cancelRoute,
  deleteRecurringRoute,
  getRecurringRoute,
  getScheduleRoute,
  listRecurringRoute,
  listSchedulesRoute,
  putRecurringRoute,
} from './schedules.js';
import { disconnectRoute, nodesRoute, presenceRoute } from './sessions.js';

/** Every path of `/v1`: a new one is served in logic.ts and listed here, and so stands in the OpenAPI document. */
export const V1_ROUTES: readonly V1Route[] = [
  pushRoute,
  batchRoute,
  traceRoute,
  listSchedulesRoute,
  getScheduleRoute,
  cancelRoute,
  listRecurringRoute,
  getRecurringRoute,
  putRecurringRoute,
  deleteRecurringRoute,
  presenceRoute,
  disconnectRoute,
  userHistoryRoute,
  roomHistoryRoute,
  listDeadRoute,
  getDeadRoute,
  requeueRoute,
  nodesRoute,
];

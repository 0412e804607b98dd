import type { ServerUnaryCall } from '@grpc/grpc-js';
import { callerOf } from '@halley/cluster/grpc/auth';
import type { ScheduleServiceHandlers } from '@halley/cluster/grpc/gen/halley/push/v1/ScheduleService';
import { unary } from '@halley/cluster/grpc/handler';

import type { ScheduleCalls } from '../schedule/calls.js';

/** halley.push.v1.ScheduleService: what callers ask of their schedules and recurring pushes. */
export function scheduleGrpc(calls: ScheduleCalls): ScheduleServiceHandlers {
  return {
    Cancel: unary(async ({ id }, call) => {
      await calls.cancel(nameOf(call), id);
      return { state: 'SCHEDULE_STATE_CANCELLED' };
    }),
    GetSchedule: unary(({ id }, call) => calls.get(nameOf(call), id)),
    ListSchedules: unary((request, call) => calls.list(nameOf(call), request)),
    PutRecurring: unary((request, call) => calls.putRecurring(nameOf(call), request)),
    GetRecurring: unary(({ name }, call) => calls.getRecurring(nameOf(call), name)),
    DeleteRecurring: unary(async ({ name }, call) => {
      await calls.deleteRecurring(nameOf(call), name);
      return {};
    }),
    ListRecurring: unary((request, call) => calls.listRecurring(nameOf(call), request)),
  };
}

/** Each caller sees its own alone. */
function nameOf(call: Pick<ServerUnaryCall<unknown, unknown>, 'metadata'>): string {
  return callerOf(call)?.name ?? '';
}

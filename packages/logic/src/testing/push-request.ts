import type { PushRequest__Output } from '@halley/cluster/grpc/gen/halley/push/v1/PushRequest';

/** A push as gRPC reads it; what is not said is as a caller leaves it out, but the operation and the body. */
export function pushRequest(fields: Partial<PushRequest__Output>): PushRequest__Output {
  return {
    target: null,
    operation: 1000,
    body: Buffer.from('hello'),
    id: '',
    class: 'DELIVERY_CLASS_UNSPECIFIED',
    expire_at_ms: '0',
    deliver_at_ms: '0',
    delay_ms: '0',
    collapse_key: '',
    retention_ms: '0',
    priority: 'PRIORITY_UNSPECIFIED',
    group: null,
    ...fields,
  };
}

/** Targets as gRPC reads them. */
export const targets = {
  users: (...mids: string[]) => ({ target: 'users' as const, users: { mids } }),
  keys: (...list: string[]) => ({ target: 'keys' as const, keys: { keys: list } }),
  room: (name: string) => ({ target: 'room' as const, room: name }),
  everyone: (speed = 0) => ({ target: 'everyone' as const, everyone: { speed } }),
};

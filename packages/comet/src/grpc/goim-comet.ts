import { unary } from '@halley/cluster/grpc/handler';
import type { CometHandlers } from '@halley/cluster/grpc/gen/goim/comet/Comet';
import type { Proto__Output } from '@halley/cluster/grpc/gen/goim/protocol/Proto';
import { HalleyError } from '@halley/protocol/error';

import type { Deliverer } from '../delivery/deliverer.js';
import { outgoingProto } from '../delivery/outgoing.js';
import type { RoomTable } from '../delivery/room-table.js';

/** goim.comet.Comet, for goim's job and whoever calls a comet directly: answered once the push is under way. */
export function goimComet(deps: { readonly deliverer: Deliverer; readonly rooms: RoomTable }): CometHandlers {
  const { deliverer, rooms } = deps;
  return {
    PushMsg: unary(async ({ keys, proto, protoOp }) => {
      if (keys.length === 0) throw new HalleyError('invalid_argument', 'keys: at least one is needed.');
      deliverer.toKeys(keys, outgoingProto(given(proto), protoOp));
      return {};
    }),
    Broadcast: unary(async ({ proto, protoOp, speed }) => {
      deliverer.toEveryone(outgoingProto(given(proto), protoOp), speed);
      return {};
    }),
    BroadcastRoom: unary(async ({ roomID, proto }) => {
      if (roomID === '') throw new HalleyError('invalid_argument', 'roomID: must not be empty.');
      deliverer.toRoom(roomID, outgoingProto(given(proto), 0));
      return {};
    }),
    Rooms: unary(async () => ({ rooms: Object.fromEntries([...rooms.ids()].map((id) => [id, true])) })),
  };
}

function given(proto: Proto__Output | null): Proto__Output {
  if (!proto) throw new HalleyError('invalid_argument', 'proto: is needed.');
  return proto;
}

import { unary } from '@halley/cluster/grpc/handler';
import type { LogicHandlers } from '@halley/cluster/grpc/gen/goim/logic/Logic';
import type { ConnectionKey, NodeId, UserId } from '@halley/protocol/ids';

import type { ClientNodes } from '../nodes/nodes.js';
import { invalid } from '../push/target.js';
import type { Connector } from '../session/connect.js';
import type { GoimSessions } from '../session/goim-session.js';
import type { Online } from '../session/online.js';
import type { UpstreamWriter } from '../upstream/receive.js';

export interface GoimGrpcDeps {
  readonly connector: Connector;
  readonly sessions: GoimSessions;
  readonly online: Online;
  readonly nodes: ClientNodes;
  readonly upstream: UpstreamWriter;
  readonly heartbeatMs: number;
  readonly heartbeatMax: number;
}

/** goim.logic.Logic, for who calls goim's logic; comet uses SessionService. */
export function goimGrpc(deps: GoimGrpcDeps): LogicHandlers {
  const { connector, sessions, online, nodes, upstream } = deps;
  return {
    Connect: unary(async ({ token, server }) => {
      const at = sessions.at(required('server', server));
      const connected = await connector.connect({ token, at, counter: 0 });
      return {
        mid: connected.token.mid,
        key: connected.key,
        roomID: connected.token.roomId,
        accepts: [...connected.token.accepts],
        // A Go duration: within this the client has to send a heartbeat.
        heartbeat: String(BigInt(deps.heartbeatMs * deps.heartbeatMax) * 1_000_000n),
      };
    }),
    Disconnect: unary(async ({ mid, key, server }) => ({
      has: await sessions.disconnect(mid as UserId, required('key', key) as ConnectionKey, server),
    })),
    Heartbeat: unary(async ({ mid, key, server }) => {
      required('server', server);
      await sessions.heartbeat(mid as UserId, required('key', key) as ConnectionKey, server);
      return {};
    }),
    RenewOnline: unary(async ({ server, roomCount }) => {
      await online.put(sessions.at(required('server', server)).node satisfies NodeId, roomCount);
      return { allRoomCount: Object.fromEntries(await online.totals()) };
    }),
    Receive: unary(async ({ mid, proto }) => {
      await upstream.receive({ mid, key: '', server: '', roomId: '', proto });
      return {};
    }),
    Nodes: unary(async ({ platform, clientIP }) => {
      const { backoff, ...rest } = nodes.weighted(platform, clientIP);
      return { ...rest, nodes: [...rest.nodes], backoff: { ...backoff } };
    }),
  };
}

function required(field: string, value: string): string {
  if (value === '') throw invalid(field, 'is empty');
  return value;
}

import { clusterConfig } from '@halley/cluster/grpc/config';
import { openDoor, refuseOpenDoors } from '@halley/cluster/grpc/open-doors';
import { registryConfig } from '@halley/cluster/registry/config';
import { logConfig } from '@halley/service/log';
import { isLoopback, nodeConfig } from '@halley/service/node-config';
import { opsConfig } from '@halley/service/ops-config';
import { archiveConfig } from '@halley/store/archive/config';
import { busConfig } from '@halley/store/bus/config';
import { eventsConfig } from '@halley/store/events/config';
import { ledgerConfig } from '@halley/store/ledger/config';
import { routesConfig } from '@halley/store/routes/config';
import { streamsConfig } from '@halley/store/streams/config';
import { z } from 'zod';

import { API_SCOPES, ApiKeys } from './auth/api-key.js';
import { requireJwtSource } from './auth/jwt-keys.js';
import { JWT_ALGORITHMS } from './auth/jwt.js';
import { checkHooks, hooksConfig } from './hooks/send-hook.js';
import { Regions } from './nodes/regions.js';

const port = (fallback: number, description: string) =>
  z.int().min(0).max(65_535).default(fallback).meta({ description });

const authConfig = z.object({
  mode: z.enum(['jwt', 'open']).default('jwt').meta({
    description:
      "How clients prove who they are: a JSON Web Token, or goim's plain token, which is believed.",
  }),
  jwt: z.object({
    secret: z.string().default('').meta({ description: 'Shared secret for HS256.', secret: true }),
    publicKeyFiles: z.array(z.string()).default([]).meta({
      description: 'PEM files of public keys or certificates for RS256, ES256 and EdDSA.',
    }),
    jwksFile: z.string().default('').meta({ description: 'JWKS file; read again when it changes.' }),
    jwksUrl: z.string().default('').meta({
      description: 'JWKS by HTTP; the last answer holds while the server is away.',
    }),
    algorithms: z
      .array(z.enum(JWT_ALGORITHMS))
      .min(1)
      .default([...JWT_ALGORITHMS])
      .meta({ description: 'Algorithms that are accepted.' }),
    issuers: z.array(z.string()).default([]).meta({ description: 'Accepted `iss`; empty takes any.' }),
    audiences: z.array(z.string()).default([]).meta({ description: 'Accepted `aud`; empty takes any.' }),
    leewayMs: z.int().min(0).default(5_000).meta({
      description: 'How far the clocks of issuer and logic may be apart.',
      unit: 'ms',
      range: '0–60,000',
    }),
  }),
});

const apiConfig = z.object({
  keys: z
    .array(
      z.object({
        name: z.string().min(1),
        key: z.string().min(1).optional().meta({ secret: true }),
        sha256: z.string().optional(),
        scopes: z.array(z.enum(API_SCOPES)).default([]),
      }),
    )
    .default([])
    .meta({
      description:
        'Keys of the business APIs: `name`, `key` or its `sha256` in hex, and `scopes` (push, presence, nodes, disconnect, upstream, history, dead-letters, trace; empty is all). Required outside loopback.',
    }),
  publicNodes: z.boolean().default(false).meta({
    description:
      'GET /goim/nodes/weighted needs no key, for clients that ask it themselves. Let a proxy pass that path alone to them.',
  }),
});

const pushConfig = z.object({
  maxBodyBytes: z
    .int()
    .min(1)
    .max(8 * 1_048_576)
    .default(1_048_576)
    .meta({
      description: 'Largest body of a push.',
      unit: 'bytes',
      range: '64 KiB–1 MiB',
    }),
  maxTargets: z.int().min(1).max(100_000).default(10_000).meta({
    description: 'Users or keys of one push.',
    range: '1,000–10,000',
  }),
  maxDelayMs: z
    .int()
    .min(1_000)
    .default(365 * 86_400_000)
    .meta({
      description: 'How far ahead a push may be delivered, and the longest window of a group.',
      unit: 'ms',
      range: 'an hour–a year',
    }),
  maxInFlight: z.int().min(1).default(20_000).meta({
    description: 'Pushes that may be on their way into the bus at once; more are refused as overloaded.',
    range: '1,000–100,000',
  }),
  maxQueuedBytes: z
    .int()
    .min(1_048_576)
    .default(48 * 1_048_576)
    .meta({
      description: 'Bodies that may be on their way into the bus at once; more are refused as overloaded.',
      unit: 'bytes',
      range: '16–256 MiB; below bus.maxQueuedBytes',
    }),
  streamWindow: z.int().min(1).max(100_000).default(1_024).meta({
    description: 'Pushes of one PushStream that may be unanswered; the stream is not read beyond.',
    range: '64–4,096',
  }),
  durableRooms: z.array(z.string().min(1)).max(1_000).default([]).meta({
    description:
      'Patterns of rooms whose messages are kept, as `chat://*`: whoever is slow reads them later, and they have a history. `*` is any run of characters. The same for every logic.',
    range: '0–100 patterns',
  }),
  durableAll: z.boolean().default(false).meta({
    description:
      'Pushes to everyone may be of class durable: they are kept in one stream, which every connection follows. The same for every logic.',
  }),
});

const receiptsConfig = z.object({
  rooms: z.array(z.string().min(1)).max(1_000).default([]).meta({
    description:
      'Patterns of rooms whose members with version 2 are told how far each other has read, as `chat://*`. `*` is any run of characters.',
    range: '0–100 patterns',
  }),
});

const nodesConfig = z.object({
  domain: z.string().default('conn.goim.io').meta({
    description: "Told to clients as `domain`, and as the node while there is none (goim's defaultDomain).",
  }),
  hostDomain: z.string().default('.goim.io').meta({
    description: "Put behind the host names that web clients are told (goim's hostDomain).",
  }),
  tcpPort: port(0, 'TCP port that clients are told; 0 is that of the comet offered first.'),
  wsPort: port(0, 'WebSocket port that clients are told; 0 is that of the comet offered first.'),
  wssPort: port(
    0,
    'Port of WebSocket with TLS that clients are told; 0 is that of the first comet offered that serves it, else 3103 and its port offset.',
  ),
  regionWeight: z.number().min(1).default(1.6).meta({
    description: "How much more a node of the client's region counts.",
    range: '1–3',
  }),
  regions: z.record(z.string(), z.array(z.string())).default({}).meta({
    description:
      "Networks of clients by region, as `{ sh: [10.1.0.0/16] }`. Others are taken to be in this node's region.",
  }),
  backoffMaxDelayS: z.int().min(0).default(300).meta({
    description: 'Advice for reconnecting: the longest pause.',
    unit: 's',
  }),
  backoffBaseDelayS: z.int().min(0).default(3).meta({
    description: 'Advice for reconnecting: the first pause.',
    unit: 's',
  }),
  backoffFactor: z.number().min(1).default(1.8).meta({
    description: 'Advice for reconnecting: how much longer each pause is.',
  }),
  backoffJitter: z.number().min(0).default(0.3).meta({
    description: 'Advice for reconnecting: how much a pause varies.',
  }),
});

/** Everything that a logic is configured with. */
export const logicConfig = z.object({
  node: nodeConfig,
  grpc: z.object({ port: port(3119, 'gRPC port, for comet and business services; 0 is any free one.') }),
  http: z.object({
    port: port(3111, 'Port of the HTTP APIs, /v1 and that of goim; 0 is any free one.'),
    trustedProxies: z.array(z.string()).default([]).meta({
      description: 'Addresses or networks whose X-Forwarded-For is believed.',
    }),
  }),
  ops: opsConfig(3114),
  insecure: z.boolean().default(false).meta({
    description:
      "Allows auth.mode open, business APIs without keys and the tiers' own gRPC without a token also where others than this machine reach them.",
    flag: 'insecure',
  }),
  auth: authConfig,
  api: apiConfig,
  session: z.object({
    heartbeatMs: z.int().min(1_000).default(240_000).meta({
      description: 'How often clients are told to send a heartbeat.',
      unit: 'ms',
      range: '30,000–300,000',
    }),
    heartbeatMax: z.int().min(1).default(2).meta({
      description: 'After so many missed heartbeats a connection is closed.',
      range: '2–3',
    }),
  }),
  push: pushConfig,
  receipts: receiptsConfig,
  events: eventsConfig,
  hooks: hooksConfig,
  nodes: nodesConfig,
  ledger: ledgerConfig,
  consume: z.object({
    group: z.string().min(1).default('halley-job').meta({
      description: 'As job has it: `halley trace` tells whether pushes wait in halley-push.',
    }),
  }),
  bulk: z.object({
    group: z.string().min(1).default('halley-job-bulk').meta({
      description: 'As job has it: `halley trace` tells whether bulk pushes wait in halley-bulk.',
    }),
  }),
  cluster: clusterConfig,
  registry: registryConfig,
  routes: routesConfig,
  streams: streamsConfig,
  archive: archiveConfig,
  bus: busConfig,
  log: logConfig,
});

export type LogicConfig = z.output<typeof logicConfig>;

/**
 * Checks what one key alone cannot tell, above all what would let anybody in: a bind address that others reach while
 * tokens are believed, or while the business APIs or the tiers' own gRPC ask for no key. Throws `bad_config` in one line with the remedy.
 */
export function checkLogicConfig(config: LogicConfig): void {
  const { node, auth, api, nodes, insecure } = config;
  refuseOpenDoors(config);
  if (!insecure && !isLoopback(node.bind) && api.keys.length === 0) {
    throw openDoor(node.bind, 'the business APIs have no keys', 'set api.keys');
  }
  if (auth.mode === 'jwt') requireJwtSource(auth.jwt);
  checkHooks(config.hooks);
  // They say what is wrong with theirs.
  void new ApiKeys(api.keys, true);
  void new Regions(nodes.regions, node.region);
}

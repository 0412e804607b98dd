import { clusterConfig } from '@halley/cluster/grpc/config';
import { refuseOpenDoors } from '@halley/cluster/grpc/open-doors';
import { registryConfig } from '@halley/cluster/registry/config';
import { HalleyError } from '@halley/protocol/error';
import { logConfig } from '@halley/service/log';
import { nodeConfig } from '@halley/service/node-config';
import { opsConfig } from '@halley/service/ops-config';
import { ledgerConfig } from '@halley/store/ledger/config';
import { z } from 'zod';

const port = (fallback: number, description: string) =>
  z.int().min(0).max(65_535).default(fallback).meta({ description });

const MIB = 1_048_576;

/** Everything that a comet is configured with. */
export const cometConfig = z.object({
  node: nodeConfig,
  tcp: z.object({
    port: port(3101, 'Port of clients over TCP; 0 is any free one.'),
    keepAliveMs: z.int().min(0).default(60_000).meta({
      description: 'The kernel probes a connection that was silent for so long; 0 is never.',
      unit: 'ms',
      range: '30,000–600,000',
    }),
  }),
  ws: z.object({
    port: port(3102, 'Port of clients over HTTP: WebSocket at /sub, SSE and long poll; 0 is any free one.'),
    origins: z.array(z.string().min(1)).default([]).meta({
      description:
        'Origins whose pages may connect, as https://example.com; `*` is all. Clients that send none may always. Ignored with auth.mode open.',
    }),
    maxMessageBytes: z
      .int()
      .min(4_112)
      .max(16 * MIB)
      .default(65_536)
      .meta({
        description: 'Largest WebSocket message, and largest POST, of a client; it may hold several frames.',
        unit: 'bytes',
        range: '4,112–1 MiB',
      }),
    maxMessageParts: z.int().min(16).default(1_024).meta({
      description: 'Most fragments of a message, and most pieces in which a fragment may arrive.',
      range: '64–4,096',
    }),
  }),
  http: z.object({
    demo: z.boolean().default(false).meta({
      description: 'Serves the demo, a chat page, on the HTTP port. `halley start` does.',
      flag: 'demo',
    }),
    keepAliveMs: z.int().min(1_000).max(600_000).default(15_000).meta({
      description:
        'An SSE response in which nothing else was sent gets a comment so often, so that no proxy takes it for dead.',
      unit: 'ms',
      range: '5,000–60,000',
    }),
    pollWaitMs: z.int().min(100).max(600_000).default(25_000).meta({
      description: 'A long poll for which nothing comes is answered after so long.',
      unit: 'ms',
      range: '5,000–55,000; below the time-outs of proxies',
    }),
    pollGraceMs: z.int().min(100).max(600_000).default(30_000).meta({
      description: 'A session over long polls of which no poll is open for so long is over.',
      unit: 'ms',
      range: '10,000–120,000',
    }),
  }),
  tls: z.object({
    port: port(3105, 'Port of clients over TCP with TLS; served when there is a certificate.'),
    certFile: z.string().default('').meta({
      description: 'PEM certificate chain for clients. Empty serves neither TLS nor WSS.',
    }),
    keyFile: z.string().default('').meta({ description: 'PEM key of the certificate.' }),
  }),
  wss: z.object({ port: port(3103, 'The same port with TLS; served when there is a certificate.') }),
  grpc: z.object({ port: port(3109, 'gRPC port, for job and logic; 0 is any free one.') }),
  ops: opsConfig(3104),
  insecure: z.boolean().default(false).meta({
    description:
      "Allows auth.mode open, business APIs without keys and the tiers' own gRPC without a token also where others than this machine reach them.",
    flag: 'insecure',
  }),
  auth: z.object({
    mode: z.enum(['jwt', 'open']).default('jwt').meta({
      description:
        "How clients prove who they are: a JSON Web Token, or goim's plain token, which is believed.",
    }),
  }),
  session: z.object({
    handshakeTimeoutMs: z.int().min(100).max(600_000).default(8_000).meta({
      description: 'From the connection to the answered auth.',
      unit: 'ms',
      range: '3,000–30,000',
    }),
    closeTimeoutMs: z.int().min(100).max(600_000).default(5_000).meta({
      description: 'A connection that we close is cut off when the client has not closed its side by then.',
      unit: 'ms',
      range: '1,000–30,000',
    }),
    maxBodyBytes: z.int().min(16).max(MIB).default(4_096).meta({
      description: "Largest body of a client's frame.",
      unit: 'bytes',
      range: '4,096–65,536',
    }),
    maxEarlyBytes: z.int().min(1_024).default(65_536).meta({
      description: 'Frames ahead of the auth are ignored up to so much; then the connection is closed.',
      unit: 'bytes',
      range: '16 KiB–1 MiB',
    }),
    frozenTimeoutMs: z.int().min(1_000).default(120_000).meta({
      description:
        'A connection is closed (3008) when something waits for it and not one message has left for so long.',
      unit: 'ms',
      range: '30,000–600,000',
    }),
    ver1Cursors: z.boolean().default(true).meta({
      description:
        "Clients of goim's protocol with a key of their own that come back within ten minutes are sent what came meanwhile; some of it may come twice.",
    }),
    version2: z.boolean().default(true).meta({
      description:
        'Clients that ask for version 2 of the client protocol get it; else they are answered as those of version 1.',
    }),
    windowEntries: z.int().min(1).max(65_536).default(256).meta({
      description:
        'Messages of a stream that are sent ahead of the acknowledgements of a client with version 2.',
      range: '64–1,024',
    }),
    windowBytes: z
      .int()
      .min(1_024)
      .default(MIB / 2)
      .meta({
        description: 'Bytes of their bodies; one message may be larger.',
        unit: 'bytes',
        range: '64 KiB–4 MiB',
      }),
    ackTimeoutMs: z.int().min(1_000).default(60_000).meta({
      description:
        'A client with version 2 is closed (3008) when it acknowledges nothing for so long while more waits behind its window.',
      unit: 'ms',
      range: '30,000–600,000',
    }),
    maxRooms: z.int().min(1).max(65_536).default(100).meta({
      description: 'Rooms that a connection with version 2 may be in.',
      range: '10–1,000',
    }),
    maxWatched: z.int().min(0).max(65_536).default(1_000).meta({
      description: 'Users whose presence a connection with version 2 may watch.',
      range: '100–10,000',
    }),
    ephemeralsPerSecond: z.int().min(1).default(10).meta({
      description: 'Ephemeral messages (typing and the like) that a connection may send in a second.',
      range: '1–50',
    }),
  }),
  outbox: z.object({
    maxBytes: z.int().min(1_024).default(MIB).meta({
      description:
        "Bytes that may wait for one connection. A user's push above it waits in the user's stream; a room's is dropped for it.",
      unit: 'bytes',
      range: '64 KiB–16 MiB',
    }),
    maxTotalBytes: z
      .int()
      .min(1_024)
      .default(256 * MIB)
      .meta({
        description: 'Bytes that may wait for all connections of the node.',
        unit: 'bytes',
        range: '64 MiB–a quarter of the memory',
      }),
  }),
  limits: z.object({
    maxConnections: z.int().min(0).default(0).meta({
      description: 'Connections of the node; 0 is as many as its descriptors allow.',
    }),
    maxConnectionsPerAddress: z.int().min(0).default(0).meta({
      description: 'Connections of one client address; 0 is unlimited.',
    }),
  }),
  proxy: z.object({
    trusted: z.array(z.string().min(1)).default([]).meta({
      description:
        'Addresses and networks of proxies, as 10.0.0.0/8, whose PROXY header (version 1 and 2) and X-Forwarded-For are believed.',
    }),
  }),
  drain: z.object({
    spreadMs: z.int().min(0).max(600_000).default(3_000).meta({
      description: 'Over how long a stopping node tells its clients to go elsewhere.',
      unit: 'ms',
      range: '1,000–8,000; a process has 10 s to stop',
    }),
  }),
  renewal: z.object({
    figuresMs: z.int().min(1_000).default(10_000).meta({
      description: 'How often the online figures are told.',
      unit: 'ms',
      range: '5,000–30,000',
    }),
    leaveRoomAfterMs: z.int().min(0).default(30_000).meta({
      description: 'How long a room stays in the directory after its last member here has left.',
      unit: 'ms',
      range: '10,000–60,000',
    }),
  }),
  presence: z.object({
    pollMs: z.int().min(1_000).default(2_000).meta({
      description: 'How often the users whose presence is watched are asked for.',
      unit: 'ms',
      range: '1,000–10,000',
    }),
  }),
  memory: z.object({
    trimAfterMs: z.int().min(0).max(600_000).default(1_000).meta({
      description:
        'When many connections have come or gone and few have for so long, what they left behind is collected and given back to the system; 0 is never.',
      unit: 'ms',
      range: '500–60,000',
    }),
  }),
  ledger: ledgerConfig,
  cluster: clusterConfig,
  registry: registryConfig,
  log: logConfig,
});

export type CometConfig = z.output<typeof cometConfig>;

/** Throws `bad_config`, in one line with the remedy, for what would let anybody in or cannot work. */
export function checkCometConfig(config: CometConfig): void {
  refuseOpenDoors(config);
  const { tls } = config;
  if ((tls.certFile === '') !== (tls.keyFile === '')) {
    throw new HalleyError('bad_config', 'tls.certFile and tls.keyFile must be given together');
  }
}

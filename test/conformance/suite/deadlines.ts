import { setTimeout as sleep } from 'node:timers/promises';

import { beforeAll, describe, expect, test } from '@jest/globals';

import { CloseCode } from '@halley/protocol/close-code';
import { Operation } from '@halley/protocol/operation';

import type { GoimClient } from '../../harness/goim-client.js';
import { TcpClient } from '../../harness/tcp-client.js';
import { within } from '../../harness/within.js';
import { rawUpgrade, WsClient } from '../../harness/ws-client.js';
import type { Stage } from './stage.js';

const HANDSHAKE_MS = 8_000;
/** A timer wheel may be late by a little, never early by much. */
const EARLY_MS = 300;
const LATE_MS = 2_500;
/** How long a WebSocket client is given to answer the close frame, which one below WebSocket never does. */
const CLOSE_MS = 5_000;

/** One connection that never authenticates, and when it ended. */
interface Probe {
  readonly name: string;
  readonly endedAfterMs: Promise<number>;
  readonly latestMs: number;
  readonly code: number | undefined;
  readonly client?: GoimClient;
}

/**
 * GOIM §1: no auth within 8 s. The connections are opened by `beforeAll` of the whole suite, so that the wait passes while
 * the other suites run: name this suite last.
 */
export function deadlinesSuite(stage: Stage): void {
  let probes: readonly Probe[] = [];

  beforeAll(async () => {
    const { target } = stage;
    const probe = (name: string, client: GoimClient): Probe => {
      const startedAt = performance.now();
      return {
        name,
        client,
        latestMs: HANDSHAKE_MS + LATE_MS,
        endedAfterMs: client.closed.then(() => performance.now() - startedAt),
        code: client.transport !== 'tcp' ? CloseCode.HandshakeTimeout : undefined,
      };
    };
    const [silentTcp, busyTcp, halfTcp, silentWs, busyWs] = await Promise.all([
      TcpClient.connect(target.tcp),
      TcpClient.connect(target.tcp),
      TcpClient.connect(target.tcp),
      WsClient.connect(target.ws),
      WsClient.connect(target.ws),
    ]);
    halfTcp.sendBytes(Buffer.from('000000120010000100000007', 'hex'));
    for (const busy of [busyTcp, busyWs]) void keepSending(busy);
    // An upgrade that is never finished: a request line and no more.
    const startedAt = performance.now();
    const upgraded = await rawUpgrade(target.ws);
    upgraded.resume();
    probes = [
      probe('tcp, silent', silentTcp),
      probe('tcp, heartbeats only', busyTcp),
      probe('tcp, half a frame', halfTcp),
      probe('ws, silent', silentWs),
      probe('ws, heartbeats only', busyWs),
      {
        name: 'ws, silent below WebSocket',
        latestMs: HANDSHAKE_MS + CLOSE_MS + LATE_MS,
        code: undefined,
        endedAfterMs: new Promise((resolve) => {
          upgraded.once('close', () => resolve(performance.now() - startedAt));
        }),
      },
    ];
  });

  describe('a connection without auth', () => {
    test('is closed after 8 s, over every transport, whatever else it sends', async () => {
      for (const probe of probes) {
        const { name, latestMs, client, code } = probe;
        const endedAfterMs = await within(probe.endedAfterMs, latestMs, () => `${name} not closed`);
        const inTime = endedAfterMs > HANDSHAKE_MS - EARLY_MS && endedAfterMs < latestMs;
        expect({ name, endedAfterMs, inTime }).toMatchObject({ name, inTime: true });
        if (!client) continue;
        expect({ name, code: (await client.closed).code, wire: client.wire }).toEqual({
          name,
          code,
          wire: [],
        });
      }
    }, 30_000);
  });
}

async function keepSending(client: GoimClient): Promise<void> {
  while (!client.isClosed) {
    client.send({ op: Operation.Heartbeat, seq: 1 });
    await sleep(500);
  }
}

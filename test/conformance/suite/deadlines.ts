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

/** One connection that never authenticates, and when it ended. */
interface Probe {
  readonly name: string;
  readonly endedAfterMs: Promise<number>;
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
        endedAfterMs: client.closed.then(() => performance.now() - startedAt),
        code: client.transport === 'ws' ? CloseCode.HandshakeTimeout : undefined,
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
        const endedAfterMs = await within(
          probe.endedAfterMs,
          HANDSHAKE_MS + LATE_MS,
          () => `${probe.name} not closed`,
        );
        expect({ name: probe.name, early: endedAfterMs < HANDSHAKE_MS - EARLY_MS }).toEqual({
          name: probe.name,
          early: false,
        });
        expect({ name: probe.name, late: endedAfterMs > HANDSHAKE_MS + LATE_MS }).toEqual({
          name: probe.name,
          late: false,
        });
        if (!probe.client) continue;
        expect({ name: probe.name, code: (await probe.client.closed).code }).toEqual({
          name: probe.name,
          code: probe.code,
        });
        expect({ name: probe.name, wire: probe.client.wire }).toEqual({ name: probe.name, wire: [] });
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

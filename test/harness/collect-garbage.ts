import type { ServiceProcess } from '@halley/services/service-process';
import { WebSocket } from 'ws';

import { eventually } from './within.js';

/** What the processes of a test need in NODE_OPTIONS to be told to collect their garbage: a port each. */
export const COLLECTABLE = '--inspect-port=0';

/** Lets a Node process collect its garbage, over its inspector: what its heap has in use afterwards is in use. */
export async function collectGarbage(node: ServiceProcess): Promise<void> {
  node.signal('SIGUSR1');
  const url = await eventually(
    () => /Debugger listening on (ws:\/\/\S+)/.exec(node.logTail(200))?.[1],
    Boolean,
    10_000,
    50,
  );
  if (!url) throw new Error(`${node.name} opened no inspector`);
  const inspector = new WebSocket(url, { perMessageDeflate: false });
  try {
    await new Promise<void>((resolve, reject) => {
      inspector.once('error', reject);
      inspector.once('open', () => {
        inspector.once('message', () => resolve());
        inspector.send(JSON.stringify({ id: 1, method: 'HeapProfiler.collectGarbage' }));
      });
    });
  } finally {
    inspector.terminate();
  }
}

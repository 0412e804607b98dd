import { describe, expect, test } from '@jest/globals';
import { silentLogger } from '@halley/service/log';

import { registryContract } from './contract.js';
import { EmbeddedHub, EmbeddedRegistry } from './embedded.js';
import { nodeRecord } from './fixture.js';
import type { Registry } from './registry.js';

registryContract('embedded', async () => {
  const log = silentLogger();
  const hub = new EmbeddedHub();
  const made: EmbeddedRegistry[] = [];
  const own = (registry: Registry): EmbeddedRegistry => registry as EmbeddedRegistry;
  return {
    create: () => {
      const registry = new EmbeddedRegistry({ log, hub, sessionTimeoutMs: 100 });
      made.push(registry);
      return registry;
    },
    kill: async (registry) => hub.endSession(own(registry)),
    expire: async (registry) => own(registry).expireSession(),
    close: async () => {
      for (const registry of made) await registry.stop(0);
    },
  };
});

describe('the embedded registry', () => {
  test('shows a change before the call that made it returns', async () => {
    const registry = new EmbeddedRegistry({ log: silentLogger() });
    await registry.start();
    const view = await registry.watch('logic');
    void registry.register(nodeRecord('a'));
    expect(view.nodes()).toHaveLength(1);
  });
});

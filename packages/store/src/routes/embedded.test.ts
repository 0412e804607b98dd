import { routesContract } from './contract.js';
import { EmbeddedRoutes } from './embedded.js';

routesContract('the process’s memory', async () => {
  let now = Date.now();
  const leaseMs = 60_000;
  const routes = new EmbeddedRoutes({ leaseMs, clock: { now: () => now, monotonicMs: () => now } });
  return {
    routes,
    leaseMs,
    pass: async (ms) => {
      now += ms;
    },
  };
});

import { parentPort } from 'node:worker_threads';

/** Never changed: to wait on it is to sleep, with a resolution of microseconds. */
const never = new Int32Array(new SharedArrayBuffer(4));

/** Told a time, sleeps until then and says so: see `ThreadBeat`. */
parentPort?.on('message', (atNs: bigint) => {
  const aheadMs = Number(atNs - process.hrtime.bigint()) / 1e6;
  if (aheadMs > 0) Atomics.wait(never, 0, 0, aheadMs);
  parentPort?.postMessage(undefined);
});

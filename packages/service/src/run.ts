import type { EventEmitter } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';

import type { Service } from './lifecycle.js';
import type { Logger } from './log.js';
import { type PortClaim, requireFreePorts } from './port-holder.js';
import { explainStartFailure } from './start-failure.js';

/** The part of `process` that a run uses; replaced in tests. */
export interface RunningProcess extends EventEmitter {
  exit(code: number): void;
  readonly stderr: { write(text: string): unknown };
}

export interface RunOptions {
  readonly log: Logger;
  /** Everything is stopped, or cut off, within this. Default and most: 10,000. */
  readonly stopDeadlineMs?: number;
  /** Ports that the service will bind: tried first, so that a taken one ends the start at once. */
  readonly ports?: readonly PortClaim[];
  /** Called when the service has started, to wait for others and to say where it is; a part of the start. */
  readonly onStarted?: () => void | Promise<void>;
  /** Default: this process. */
  readonly process?: RunningProcess;
}

/** npm passes a signal on that the process has got already: a repeat within this is the same one. */
const SAME_SIGNAL_MS = 1_000;

/**
 * Runs a service for as long as the process lives: starts it, waits for SIGINT or SIGTERM, stops it and exits with 0.
 * A signal that is repeated within a second is ignored; a later one exits at once with 1. A start that fails, an
 * uncaught exception and an unhandled rejection exit with 1. Resolves only when `process.exit` is replaced.
 */
export async function runService(service: Service, options: RunOptions): Promise<void> {
  const { log, stopDeadlineMs = 10_000 } = options;
  const host: RunningProcess = options.process ?? process;
  let stopping: { readonly since: number } | undefined;
  let wanted: (() => void) | undefined;
  const signalled = new Promise<void>((resolve) => {
    wanted = resolve;
  });

  const onSignal = (signal: string): void => {
    const now = performance.now();
    if (!stopping) {
      stopping = { since: now };
      log.info({ signal }, 'stopping');
      wanted?.();
    } else if (now - stopping.since > SAME_SIGNAL_MS) {
      log.warn({ signal }, 'second signal: exits at once');
      host.exit(1);
    }
  };
  const onCrash = (error: unknown): void => {
    log.fatal({ err: error }, 'uncaught error: exits');
    host.exit(1);
  };
  const listeners = {
    SIGINT: onSignal,
    SIGTERM: onSignal,
    uncaughtException: onCrash,
    unhandledRejection: onCrash,
  };
  for (const [event, listener] of Object.entries(listeners)) host.on(event, listener);

  try {
    const started = start(service, options);
    // A signal during the start ends it; a failure that comes of that is not told.
    await Promise.race([started, signalled]);
    if (stopping) started.catch(() => undefined);
    await signalled;
    await stopInTime(service, stopDeadlineMs, log);
    host.exit(0);
  } catch (error) {
    log.debug({ err: error }, 'start failed');
    host.stderr.write(`halley: ${await explainStartFailure(error)}\n`);
    host.exit(1);
  } finally {
    for (const [event, listener] of Object.entries(listeners)) host.removeListener(event, listener);
  }
}

async function start(service: Service, options: RunOptions): Promise<void> {
  if (options.ports) await requireFreePorts(options.ports);
  await service.start();
  await options.onStarted?.();
}

async function stopInTime(service: Service, deadlineMs: number, log: Logger): Promise<void> {
  // The service gets a little less than all, so that it can cut off by itself what does not end.
  const own = service.stop(Math.max(0, deadlineMs - 1_000)).catch((error: unknown) => {
    log.warn({ err: error }, 'did not stop cleanly');
  });
  const late = new AbortController();
  const timer = sleep(Math.max(0, deadlineMs - 250), 'late', { signal: late.signal }).catch(() => 'stopped');
  if ((await Promise.race([own, timer])) === 'late')
    log.warn({ service: service.name }, 'cut off: did not stop in time');
  late.abort();
}

import type { Logger } from '@halley/service/log';

import { RedisConnection, type RedisLocation } from '../../redis/connection.js';
import { readScripts } from '../../redis/scripts.js';

const PARTITION = 'run';
const GROUP = 'group';

/** The scripts of the bus; those of a partition and those of a group begin with what they share. */
const SCRIPTS = readScripts('bus/redis/', {
  open: ['open'],
  'open-partition': [PARTITION, 'open-partition'],
  produce: [PARTITION, 'produce'],
  read: [PARTITION, 'read'],
  trim: [PARTITION, 'trim'],
  heartbeat: [GROUP, 'heartbeat'],
  release: [GROUP, 'release'],
  leave: [GROUP, 'leave'],
  commit: [GROUP, 'commit'],
  groups: ['groups'],
  seen: ['seen'],
});

/** A connection that runs the scripts of the bus. */
export type RedisBusConnection = RedisConnection<keyof typeof SCRIPTS>;

/** `use` is for the log: `the bus in Redis`. */
export function busConnection(location: RedisLocation, use: string, log: Logger): RedisBusConnection {
  return new RedisConnection({ location, store: use, scripts: SCRIPTS, log });
}

/** What Redis said, below the errors of our own. */
export function redisMessage(error: unknown): string {
  let at = error;
  while (at instanceof Error && at.cause !== undefined) at = at.cause;
  return at instanceof Error ? at.message : String(at);
}

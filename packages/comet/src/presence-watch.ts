import type { Presence, PresenceRequest } from '@halley/protocol/client/bodies';
import { HalleyError } from '@halley/protocol/error';
import type { UserId } from '@halley/protocol/ids';
import type { Service } from '@halley/service/lifecycle';
import type { Logger } from '@halley/service/log';

import { type LogicLink, MAX_PRESENCES } from './logic-link.js';

/** A connection that watches users. */
export interface Watcher {
  /** Its connection has ended. */
  readonly gone: boolean;
  /** Users that it watches are otherwise than it was told. */
  presenceChanged(users: readonly Presence[]): void;
}

export interface PresenceWatchDeps {
  readonly logic: Pick<LogicLink, 'presence'>;
  readonly log: Logger;
  /** How often the users that are watched are asked for, in milliseconds. */
  readonly pollMs: number;
}

const NOBODY: ReadonlySet<UserId> = new Set();

/** A user who is watched. */
interface Watched {
  readonly watchers: Set<Watcher>;
  /** As it was told last; undefined until it is known. */
  known: Presence | undefined;
}

/**
 * Who of this comet watches whom. Logic is asked for each user once, however many watch: in rounds, at most one under way;
 * what has changed since is told behind the round, one frame for each watcher.
 */
export class PresenceWatch implements Service {
  readonly name = 'presence';
  readonly #users = new Map<UserId, Watched>();
  readonly #byWatcher = new Map<Watcher, Set<UserId>>();
  readonly #changes = new Map<Watcher, Map<UserId, Presence>>();
  #timer: NodeJS.Timeout | undefined;
  #polling: Promise<void> | undefined;
  #failing = false;

  constructor(private readonly deps: PresenceWatchDeps) {}

  /** Users who are watched. */
  get size(): number {
    return this.#users.size;
  }

  async start(): Promise<void> {
    this.#timer ??= setInterval(() => void this.poll(), this.deps.pollMs);
  }

  async stop(_deadlineMs: number): Promise<void> {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  /**
   * Changes whom somebody watches, and answers how those in `watch` are now; the others who watch them are told with the
   * next round. Throws `limit_exceeded` when they would be more than `max`, and what logic throws; then nothing changes.
   */
  async change(
    watcher: Watcher,
    { watch, unwatch, replace }: PresenceRequest,
    max: number,
  ): Promise<readonly Presence[]> {
    const before = this.#byWatcher.get(watcher) ?? NOBODY;
    const after = new Set(replace ? NOBODY : before);
    for (const mid of unwatch) after.delete(mid);
    for (const mid of watch) after.add(mid);
    if (after.size > max)
      throw new HalleyError('limit_exceeded', `A connection may watch ${max} users at once.`);
    const users = await this.#read([...new Set(watch)]);
    if (watcher.gone) return users;
    for (const mid of before) if (!after.has(mid)) this.#remove(watcher, mid);
    for (const mid of after) if (!before.has(mid)) this.#add(watcher, mid);
    if (after.size > 0) this.#byWatcher.set(watcher, after);
    else this.#byWatcher.delete(watcher);
    for (const user of users) {
      this.#learn(user);
      this.#changes.get(watcher)?.delete(user.mid);
    }
    return users;
  }

  /** Watches nobody any more. */
  forget(watcher: Watcher): void {
    for (const mid of this.#byWatcher.get(watcher) ?? NOBODY) this.#remove(watcher, mid);
    this.#byWatcher.delete(watcher);
    this.#changes.delete(watcher);
  }

  /** A round; one that is under way is not doubled. */
  async poll(): Promise<void> {
    this.#polling ??= this.#round().finally(() => {
      this.#polling = undefined;
    });
    await this.#polling;
  }

  async #round(): Promise<void> {
    if (this.#users.size === 0) return;
    try {
      for (const user of await this.#read([...this.#users.keys()])) this.#learn(user);
      this.#failing = false;
    } catch (error) {
      if (!this.#failing) this.deps.log.warn({ err: error }, 'the presence of users is not known');
      this.#failing = true;
    }
    const changes = [...this.#changes];
    this.#changes.clear();
    for (const [watcher, users] of changes) if (users.size > 0) watcher.presenceChanged([...users.values()]);
  }

  async #read(mids: readonly UserId[]): Promise<Presence[]> {
    const users: Presence[] = [];
    for (let i = 0; i < mids.length; i += MAX_PRESENCES) {
      users.push(...(await this.deps.logic.presence(mids.slice(i, i + MAX_PRESENCES))));
    }
    return users;
  }

  /** Notes how a user is; what is new is to be told to who watches. */
  #learn(user: Presence): void {
    const watched = this.#users.get(user.mid);
    if (!watched || (watched.known && isSame(watched.known, user))) return;
    const isNews = watched.known !== undefined;
    watched.known = user;
    if (!isNews) return;
    for (const watcher of watched.watchers) {
      const changes = this.#changes.get(watcher) ?? new Map<UserId, Presence>();
      this.#changes.set(watcher, changes.set(user.mid, user));
    }
  }

  #add(watcher: Watcher, mid: UserId): void {
    const watched = this.#users.get(mid);
    if (watched) watched.watchers.add(watcher);
    else this.#users.set(mid, { watchers: new Set([watcher]), known: undefined });
  }

  #remove(watcher: Watcher, mid: UserId): void {
    const watched = this.#users.get(mid);
    watched?.watchers.delete(watcher);
    if (watched?.watchers.size === 0) this.#users.delete(mid);
    this.#changes.get(watcher)?.delete(mid);
  }
}

function isSame(a: Presence, b: Presence): boolean {
  return (
    a.online === b.online &&
    a.lastSeenMs === b.lastSeenMs &&
    a.platforms.length === b.platforms.length &&
    a.platforms.every((platform, index) => platform === b.platforms[index])
  );
}

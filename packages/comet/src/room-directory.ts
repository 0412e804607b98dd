import type { RoomId } from '@halley/protocol/ids';
import type { Clock } from '@halley/service/clock';
import type { Logger } from '@halley/service/log';

import type { Deadlines, Expiring } from './session/deadlines.js';
import type { LogicLink } from './logic-link.js';

export interface RoomDirectoryDeps {
  readonly logic: Pick<LogicLink, 'enterRoom' | 'leaveRoom'>;
  readonly deadlines: Deadlines;
  readonly clock: Clock;
  readonly log: Logger;
  /** How long a room stays written after its last member left, in milliseconds. */
  readonly leaveAfterMs: number;
}

type EntryState =
  /** Not written, or being removed. */
  | 'absent'
  /** Being written. */
  | 'entering'
  | 'present'
  | 'leaving';

/**
 * Which rooms this comet has told logic that it has members in. Calls for one room come one after another: the first
 * member writes it, later ones wait for the same call, and it is removed some time after the last has left.
 */
export class RoomDirectory {
  readonly #entries = new Map<RoomId, Entry>();

  constructor(private readonly deps: RoomDirectoryDeps) {}

  /** Rooms that are written, to be renewed. */
  get size(): number {
    return this.#entries.size;
  }

  rooms(): RoomId[] {
    const rooms: RoomId[] = [];
    for (const [room, entry] of this.#entries) if (entry.state === 'present') rooms.push(room);
    return rooms;
  }

  /**
   * Counts a member in; resolves when the room is written, with whether its messages are kept. When it rejects the member was
   * not counted.
   */
  async acquire(room: RoomId): Promise<boolean> {
    const entry = this.#entries.get(room) ?? this.#add(room);
    entry.members += 1;
    this.deps.deadlines.clear(entry);
    if (entry.state === 'present') return entry.durable;
    try {
      await this.#enter(entry);
      return entry.durable;
    } catch (error) {
      this.release(room);
      throw error;
    }
  }

  /** Counts a member out. */
  release(room: RoomId): void {
    const entry = this.#entries.get(room);
    if (!entry || entry.members === 0) return;
    entry.members -= 1;
    if (entry.members > 0) return;
    if (entry.state === 'absent') this.#entries.delete(room);
    else if (entry.state === 'present') this.#expireLater(entry);
  }

  /** Removes a room once more that was removed while its renewal was on its way. */
  withdrawGone(room: RoomId): void {
    const entry = this.#entries.get(room);
    if (!entry) void this.#remove(this.#add(room));
    else if (entry.state === 'leaving') void entry.call.then(() => this.withdrawGone(room));
  }

  /** Removes rooms without members now, at the end. */
  async leaveAll(): Promise<void> {
    const rooms = this.rooms();
    const worker = async (): Promise<void> => {
      for (let room = rooms.pop(); room !== undefined; room = rooms.pop()) {
        const entry = this.#entries.get(room);
        if (!entry || entry.members > 0) continue;
        this.deps.deadlines.clear(entry);
        await this.#remove(entry);
      }
    };
    await Promise.all(Array.from({ length: 32 }, worker));
  }

  #add(room: RoomId): Entry {
    const entry = new Entry(room, this.#leave);
    this.#entries.set(room, entry);
    return entry;
  }

  /** One call at a time a room: whoever waits for it shares it. */
  async #enter(entry: Entry): Promise<void> {
    while (entry.state !== 'present') {
      if (entry.state === 'absent') {
        entry.state = 'entering';
        entry.call = this.#write(entry);
      }
      // A removal under way is waited for, then the room is written again.
      await entry.call;
    }
  }

  async #write(entry: Entry): Promise<void> {
    try {
      entry.durable = (await this.deps.logic.enterRoom(entry.room)).durable;
      entry.state = 'present';
      if (entry.members === 0) this.#expireLater(entry);
    } catch (error) {
      entry.state = 'absent';
      throw error;
    }
  }

  #expireLater(entry: Entry): void {
    this.deps.deadlines.set(entry, this.deps.clock.monotonicMs() + this.deps.leaveAfterMs);
  }

  readonly #leave = (entry: Entry): void => {
    if (entry.members > 0 || entry.state !== 'present') return;
    void this.#remove(entry);
  };

  async #remove(entry: Entry): Promise<void> {
    entry.state = 'leaving';
    entry.call = this.deps.logic.leaveRoom(entry.room).catch((error: unknown) => {
      // Its lease runs out.
      this.deps.log.debug({ err: error }, 'a room was not removed');
    });
    await entry.call;
    entry.state = 'absent';
    if (entry.members === 0) this.#entries.delete(entry.room);
  }
}

class Entry implements Expiring {
  deadlineMs = Number.POSITIVE_INFINITY;
  wheelSlot = -1;
  wheelNext: Expiring | undefined = undefined;
  wheelPrevious: Expiring | undefined = undefined;
  members = 0;
  /** Whether its messages are kept, as logic says when it is written. */
  durable = false;
  state: EntryState = 'absent';
  /** The call under way, when it is entering or leaving. */
  call: Promise<void> = Promise.resolve();

  constructor(
    readonly room: RoomId,
    private readonly leave: (entry: Entry) => void,
  ) {}

  onDeadline(): void {
    this.leave(this);
  }
}

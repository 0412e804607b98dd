import { activeFaults } from './active-faults.js';
import type { CheckedStream, DeviceLog, FaultSpan, NumberedPush, Shown } from './log.js';
import type { Wait } from './silence.js';
import { excuse, type Excuse, fromMs, isScheduled, laneOf, newerOnes, readyMs, untimely } from './terms.js';
import type { Violation, ViolationKind } from './verdict.js';

/** A goim client that was away for longer has no cursor any more: what came before it was back is not owed to it. */
const RESUME_WINDOW_MS = 600_000;
/** A device is held to have been connected for a push when it still was so long after the answer: longer than a job's takeover. */
const STAYED_MS = 15_000;

/** The pushes to one stream, by number. */
export interface JudgedPushes {
  readonly stream: CheckedStream;
  readonly byNumber: ReadonlyMap<number, NumberedPush>;
}

export interface JudgedDevice {
  readonly device: DeviceLog;
  readonly violations: readonly Violation[];
  readonly repeats: number;
  readonly dropped: number;
  readonly droppedWhileConnected: number;
  /** How long each durable push waited for it. */
  readonly waits: readonly Wait[];
  /** From the call, or when the device was ready for it, to when it was shown: of durable pushes known at the first call. */
  readonly delaysMs: readonly number[];
  /** Why it was not shown what it was not. */
  readonly excused: readonly Excuse[];
  /** How long after their times it was shown what was scheduled to users; `calm`: with no fault about then. */
  readonly lateness: readonly { readonly lateMs: number; readonly calm: boolean }[];
}

interface Evidence {
  readonly endMs: number;
  readonly pushes: ReadonlyMap<string, JudgedPushes>;
  readonly faults: readonly FaultSpan[];
}

/** Judges one device. */
export function judgeDevice(device: DeviceLog, evidence: Evidence): JudgedDevice {
  return new DeviceJudge(device, evidence).judge();
}

/** What is known of one stream at the device while what it was shown is gone through. */
interface Progress {
  /** When each number was shown first. */
  readonly first: Map<number, number>;
  /** On which connection each number was shown last. */
  readonly connection: Map<number, number>;
  readonly lanes: Readonly<Record<ReturnType<typeof laneOf>, Lane>>;
  present: number;
}

interface Lane {
  /** Highest number that was new. */
  highest: number;
  /** The last number on the present connection. */
  last: number;
}

class DeviceJudge {
  readonly #violations: Violation[] = [];
  readonly #waits: Wait[] = [];
  readonly #delaysMs: number[] = [];
  readonly #excused: Excuse[] = [];
  readonly #lateness: { lateMs: number; calm: boolean }[] = [];
  readonly #progress = new Map<string, Progress>();
  #repeats = 0;
  #dropped = 0;
  #droppedWhileConnected = 0;

  constructor(
    private readonly device: DeviceLog,
    private readonly evidence: Evidence,
  ) {}

  judge(): JudgedDevice {
    const { device } = this;
    for (const { atMs, text } of device.strange)
      this.#report('phantom', { stream: '', number: -1, atMs }, `was shown ${JSON.stringify(text)}`);
    for (const shown of device.shown) this.#look(shown);
    for (const name of device.streams) this.#miss(name);
    return {
      device,
      violations: this.#violations,
      repeats: this.#repeats,
      dropped: this.#dropped,
      droppedWhileConnected: this.#droppedWhileConnected,
      waits: this.#waits,
      delaysMs: this.#delaysMs,
      excused: this.#excused,
      lateness: this.#lateness,
    };
  }

  #look(shown: Shown): void {
    const pushes = this.evidence.pushes.get(shown.stream);
    const push = pushes?.byNumber.get(shown.number);
    if (!pushes || !push) return this.#report('phantom', shown, 'was shown what nobody pushed');
    if (!this.device.streams.includes(shown.stream))
      return this.#report('wrong user', shown, 'was shown what is not for it');
    if (push.outcome === 'refused')
      return this.#report('phantom', shown, `was shown what was refused (${push.why ?? 'no reason given'})`);
    const why = untimely(push, shown, this.device);
    if (why !== undefined) this.#report('untimely', shown, why);
    this.#order(shown, push, pushes.stream.kind === 'user');
  }

  #order(shown: Shown, push: NumberedPush, isDurable: boolean): void {
    const progress = this.#progressOf(shown.stream);
    if (progress.present !== shown.connection) {
      progress.present = shown.connection;
      progress.lanes.normal.last = progress.lanes.bulk.last = -1;
    }
    const lane = progress.lanes[laneOf(push)];
    const before = progress.connection.get(shown.number);
    const isNew = before === undefined;
    // Whoever pushes on without knowing gave the order up. What isn't remembered by its id and was repeated stands twice.
    const isOrdered =
      push.outcome === 'ok' && !isScheduled(push) && !this.#mayStandTwice(push, shown.atMs, isDurable);
    if (!isNew) this.#again(shown, push, isDurable, before === shown.connection);
    const floor = isNew && isDurable ? Math.max(lane.highest, lane.last) : lane.last;
    if (isOrdered && shown.number < floor)
      this.#report('out of order', shown, `was shown after ${shown.stream} ${floor}`);
    if (isNew) progress.first.set(shown.number, shown.atMs);
    progress.connection.set(shown.number, shown.connection);
    if (!isOrdered) return;
    lane.last = Math.max(lane.last, shown.number);
    lane.highest = Math.max(lane.highest, shown.number);
  }

  /** It was shown before: on this connection, or on an earlier one. */
  #again(shown: Shown, push: NumberedPush, isDurable: boolean, isSameConnection: boolean): void {
    // What is not kept has no cursor that another connection could go on at.
    const isResent = !isSameConnection && (this.device.kind === 'goim' || !isDurable);
    const isAllowed = isResent || this.#mayStandTwice(push, shown.atMs, isDurable);
    if (isAllowed) this.#repeats += 1;
    else
      this.#report(
        'shown twice',
        shown,
        isSameConnection ? 'was shown again on the same connection' : 'was shown again',
      );
  }

  /**
   * Only durable pushes are told by their ids, and not over a fault that loses those. Jobs, too, repeat what is scheduled or bulk
   * until they know that the bus has it.
   */
  #mayStandTwice(push: NumberedPush, atMs: number, isDurable: boolean): boolean {
    const isRepeatedByJobs = isDurable && (isScheduled(push) || push.terms?.bulk === true);
    if (push.attempts < 2 && !isRepeatedByJobs) return false;
    if (!isDurable) return true;
    return this.evidence.faults.some(
      ({ forgetsIds, injectedAtMs, healedAtMs }) =>
        forgetsIds && injectedAtMs <= atMs && (healedAtMs ?? Infinity) >= push.pushedAtMs,
    );
  }

  /** What it should have been shown and was not. */
  #miss(name: string): void {
    const pushes = this.evidence.pushes.get(name);
    if (!pushes) return;
    const { first } = this.#progressOf(name);
    const owedFromMs = this.#owedFromMs();
    const newer = newerOnes(pushes.byNumber.values());
    for (const push of pushes.byNumber.values()) {
      const shownAtMs = first.get(push.number);
      const { outcome, pushedAtMs, terms } = push;
      if (outcome !== 'ok' || Math.max(pushedAtMs, terms?.dueAtMs ?? 0) < owedFromMs) continue;
      const excused =
        shownAtMs === undefined ? excuse(push, newer(push), first, this.evidence.endMs) : undefined;
      if (excused !== undefined) {
        this.#excused.push(excused);
      } else if (pushes.stream.kind === 'user') {
        this.#await(push, shownAtMs);
        if (shownAtMs === undefined && !this.#isDeclared(push))
          this.#report('lost', push, 'was never shown what was answered OK');
      } else if (shownAtMs === undefined) {
        this.#dropped += 1;
        if (this.#wasConnected(push)) this.#droppedWhileConnected += 1;
      }
    }
  }

  /** How long it waited for a durable push, Infinity when it is not shown. */
  #await(push: NumberedPush, shownAtMs = Infinity): void {
    const ready = (from: number): number => readyMs(this.device.absences, from, shownAtMs);
    this.#waits.push({ fromMs: ready(fromMs(push)), shownAtMs });
    if (push.attempts > 1 || shownAtMs === Infinity) return;
    const { terms } = push;
    if (terms?.dueAtMs === undefined) {
      // What is bulk waits by its nature.
      if (!terms?.bulk) this.#delaysMs.push(shownAtMs - ready(push.pushedAtMs));
      return;
    }
    const { dueAtMs } = terms;
    const about = { ...push, pushedAtMs: dueAtMs, answeredAtMs: dueAtMs };
    this.#lateness.push({
      lateMs: Math.max(0, shownAtMs - this.#connectedMs(ready(dueAtMs), shownAtMs)),
      calm: activeFaults(this.evidence.faults, about, shownAtMs).length === 0,
    });
  }

  /** The same, or when the connection that it was shown on began. */
  #connectedMs(from: number, until: number): number {
    const opened = this.device.connections.findLast(({ openedAtMs }) => openedAtMs <= until);
    return Math.max(from, opened?.openedAtMs ?? from);
  }

  /** Since its first session; or since it came back from longer than a goim client may be away. */
  #owedFromMs(): number {
    const { connections, kind } = this.device;
    let fromMs = connections[0]?.openedAtMs ?? Infinity;
    for (const [index, { openedAtMs }] of connections.entries()) {
      const leftAtMs = connections[index - 1]?.closedAtMs ?? openedAtMs;
      if (kind === 'goim' && openedAtMs - leftAtMs > RESUME_WINDOW_MS) fromMs = openedAtMs;
    }
    return fromMs;
  }

  /** A gap that the server declared excuses what was pushed before it. */
  #isDeclared(push: NumberedPush): boolean {
    return this.device.gaps.some(({ stream, atMs }) => stream === push.stream && fromMs(push) < atMs);
  }

  #wasConnected(push: NumberedPush): boolean {
    const sinceMs = Math.max(push.pushedAtMs, push.terms?.dueAtMs ?? 0);
    return this.device.connections.some(
      ({ openedAtMs, closedAtMs }) =>
        openedAtMs <= sinceMs && (closedAtMs ?? Infinity) >= fromMs(push) + STAYED_MS,
    );
  }

  #progressOf(stream: string): Progress {
    let progress = this.#progress.get(stream);
    if (!progress) {
      const lanes = { normal: { highest: -1, last: -1 }, bulk: { highest: -1, last: -1 } };
      progress = { first: new Map(), connection: new Map(), lanes, present: -1 };
      this.#progress.set(stream, progress);
    }
    return progress;
  }

  #report(
    kind: ViolationKind,
    at: { readonly stream: string; readonly number: number; readonly atMs?: number },
    what: string,
  ): void {
    const { stream, number, atMs } = at;
    const push = this.evidence.pushes.get(stream)?.byNumber.get(number);
    this.#violations.push({
      kind,
      device: this.device.name,
      who: `${this.device.kind}, ${this.device.habit}`,
      stream,
      number,
      what,
      ...(push ? { pushedAtMs: push.pushedAtMs, via: push.via } : {}),
      ...(atMs === undefined ? {} : { shownAtMs: atMs }),
      faults: activeFaults(this.evidence.faults, push, atMs),
    });
  }
}

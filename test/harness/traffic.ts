import { setTimeout as sleep } from 'node:timers/promises';

import type { TestCluster } from './cluster.js';
import type { GoimClient, Transport } from './goim-client.js';
import { type Faults, faultsOf, NumberedPushes, Receiver } from './numbered.js';
import { GrpcPusher, HttpPusher, type Pusher } from './pushers.js';
import { TcpClient } from './tcp-client.js';
import { newMid, newOp, newRoom, type Room } from './unique.js';
import { eventually } from './within.js';
import { WsClient } from './ws-client.js';

/** Where nodes are: those of a cluster, or of tiers. */
export type Nodes = Pick<TestCluster, 'address'>;

export interface TrafficOptions {
  /** Connections over TCP and as many over WebSocket, on each comet; each is a user of its own. Default 2. */
  readonly usersPerComet?: number;
  /** Each user is in one of them. Default 2. */
  readonly rooms?: number;
  /** Pushes a second, over all users and rooms. Default 100. */
  readonly perSecond?: number;
}

/** What became of the traffic: `Faults`, and the pushes that were not taken. */
export interface TrafficReport extends Faults {
  /** Why, with how often. */
  readonly failed: Readonly<Record<string, number>>;
}

export const NO_TROUBLE: TrafficReport = { failed: {}, lost: [], repeated: [], disordered: [], others: [] };

/** A user that is connected, and what is pushed to it and to its room. */
interface Connected {
  readonly receiver: Receiver;
  readonly comet: string;
  readonly transport: Transport;
  readonly own: NumberedPushes;
  readonly room: NumberedPushes;
}

/**
 * Steady traffic through a cluster: numbered pushes at a fixed rate, one after the other to each user and room, to clients
 * on every comet. Users are pushed to over goim's HTTP API, each through a logic of its own as long as that takes connections;
 * rooms over gRPC, at the logics in turn. It goes on until it is stopped, whatever happens, and keeps a record.
 */
export class Traffic {
  readonly #op = newOp();
  readonly #rooms: { readonly room: Room; readonly pushes: NumberedPushes }[];
  readonly #connected: Connected[] = [];
  readonly #gone: Receiver[] = [];
  readonly #pushers: Pusher[] = [];
  readonly #loops: Promise<void>[] = [];
  readonly #perSecond: number;
  readonly #end = new AbortController();
  /** Answers below these numbers do not count as failed. */
  #forgiven: ReadonlyMap<NumberedPushes, number> = new Map();
  readonly #users: NumberedPushes[] = [];

  private constructor(
    private readonly cluster: Nodes,
    { rooms = 2, perSecond = 100 }: TrafficOptions,
  ) {
    this.#perSecond = perSecond;
    this.#rooms = Array.from({ length: rooms }, (_, index) => {
      const room = newRoom();
      return { room, pushes: new NumberedPushes(`room-${index}`, { room }, this.#op) };
    });
  }

  /** Connects clients to the comets and starts to push through the logics. */
  static async start(
    cluster: Nodes,
    comets: readonly string[],
    logics: readonly string[],
    options: TrafficOptions = {},
  ): Promise<Traffic> {
    const traffic = new Traffic(cluster, options);
    for (let count = 0; count < (options.usersPerComet ?? 2); count += 1) {
      for (const comet of comets) {
        await traffic.connect(comet, 'tcp');
        await traffic.connect(comet, 'ws');
      }
    }
    traffic.#push(logics);
    return traffic;
  }

  /** One more user, who is pushed to once the traffic flows. */
  async connect(comet: string, transport: Transport, logics?: readonly string[]): Promise<Connected> {
    const index = this.#users.length;
    const own = new NumberedPushes(`user-${index}`, { mid: newMid() }, this.#op);
    this.#users.push(own);
    const room = this.#rooms[index % this.#rooms.length];
    if (!room) throw new Error('there is no room');
    const connected = await this.#open(comet, transport, own, room);
    if (logics) this.#loop(own, this.#http(logics, index));
    return connected;
  }

  /** Every client of a comet that has closed it connects to another, as the same user. */
  async move(from: string, to: string): Promise<void> {
    const moving = this.#connected.filter(({ comet }) => comet === from);
    await Promise.all(
      moving.map(async (old) => {
        this.#connected.splice(this.#connected.indexOf(old), 1);
        this.#gone.push(old.receiver);
        old.receiver.retire();
        const room = this.#rooms.find(({ pushes }) => pushes === old.room);
        if (room) await this.#open(to, old.transport, old.own, room);
      }),
    );
  }

  /** The clients of a comet. */
  clientsOf(comet: string): GoimClient[] {
    return this.#connected.filter((one) => one.comet === comet).map(({ receiver }) => receiver.client);
  }

  /** The clients of a comet are not judged by what they miss from now on: it was killed. */
  giveUp(comet: string): void {
    for (const one of this.#connected.filter((connected) => connected.comet === comet)) {
      this.#connected.splice(this.#connected.indexOf(one), 1);
      this.#gone.push(one.receiver);
      one.receiver.retire();
    }
  }

  /** What was missed, and what was not taken, up to now is not held against anybody. */
  forgive(): void {
    for (const { receiver } of this.#connected) receiver.forgive();
    this.#forgiven = new Map(this.#streams().map((pushes) => [pushes, pushes.next]));
  }

  /** Waits until everything that has been taken by now is where it belongs, and answers what is wrong. */
  async judge(timeoutMs = 15_000): Promise<TrafficReport> {
    const until = new Map(this.#streams().map((pushes) => [pushes, pushes.next]));
    const upTo = (pushes: NumberedPushes): number => until.get(pushes) ?? 0;
    const answered = (): boolean =>
      [...until].every(([pushes, next]) => pushes.answers.slice(0, next).every(Boolean));
    await eventually(answered, Boolean, timeoutMs, 50);
    const judged = (): Faults =>
      faultsOf([...this.#connected.map(({ receiver }) => receiver), ...this.#gone], upTo);
    const faults = await eventually(judged, ({ lost }) => lost.length === 0, timeoutMs, 100);
    return { failed: this.#failed(), ...faults };
  }

  /** Pushes that were taken so far. */
  get taken(): number {
    const answers = this.#streams().flatMap((pushes) => pushes.answers);
    return answers.filter((answer) => answer?.outcome === 'ok').length;
  }

  /** Pushes no more; clients stay. */
  async stop(): Promise<void> {
    this.#end.abort();
    await Promise.all(this.#loops);
  }

  async close(): Promise<void> {
    await this.stop();
    for (const pusher of this.#pushers) pusher.close();
    for (const { receiver } of this.#connected) receiver.client.close();
  }

  async #open(
    comet: string,
    transport: Transport,
    own: NumberedPushes,
    { room, pushes }: { readonly room: Room; readonly pushes: NumberedPushes },
  ): Promise<Connected> {
    const client = await connectTo(this.cluster, comet, transport);
    const mid = 'mid' in own.to ? own.to.mid : 0n;
    const from = [own, pushes];
    await client.auth({ mid, key: '', room_id: room.id, platform: 'test', accepts: [this.#op] });
    const receiver = new Receiver(`${comet} ${transport}`, client, from);
    const connected = { receiver, comet, transport, own, room: pushes };
    this.#connected.push(connected);
    return connected;
  }

  #push(logics: readonly string[]): void {
    for (const [index, own] of this.#users.entries()) this.#loop(own, this.#http(logics, index));
    const grpc = new GrpcPusher(logics.map((logic) => this.cluster.address(logic, 'grpc')));
    this.#pushers.push(grpc);
    for (const { pushes } of this.#rooms) this.#loop(pushes, grpc);
  }

  /** A pusher of its own for a user: connections take turns at where they begin. */
  #http(logics: readonly string[], index: number): Pusher {
    const first = index % logics.length;
    const inTurn = [...logics.slice(first), ...logics.slice(0, first)];
    const pusher = new HttpPusher(inTurn.map((logic) => `http://${this.cluster.address(logic, 'http')}`));
    this.#pushers.push(pusher);
    return pusher;
  }

  #loop(pushes: NumberedPushes, pusher: Pusher): void {
    const everyMs = (1_000 * (this.#users.length + this.#rooms.length)) / this.#perSecond;
    const run = async (): Promise<void> => {
      let due = performance.now() + everyMs * Math.random();
      while (!this.#end.signal.aborted) {
        await sleep(Math.max(0, due - performance.now()), undefined, { signal: this.#end.signal }).catch(
          () => undefined,
        );
        if (this.#end.signal.aborted) return;
        await pushes.push(pusher);
        due = Math.max(due + everyMs, performance.now());
      }
    };
    this.#loops.push(run());
  }

  #streams(): NumberedPushes[] {
    return [...this.#users, ...this.#rooms.map(({ pushes }) => pushes)];
  }

  #failed(): Record<string, number> {
    const failed: Record<string, number> = {};
    const counted = this.#streams().flatMap((pushes) => pushes.answers.slice(this.#forgiven.get(pushes)));
    for (const answer of counted) {
      if (!answer || answer.outcome === 'ok') continue;
      const why = `${answer.outcome}: ${answer.why}`;
      failed[why] = (failed[why] ?? 0) + 1;
    }
    return failed;
  }
}

/** A connection to a comet of the cluster, not authenticated. */
export function connectTo(cluster: Nodes, comet: string, transport: Transport): Promise<GoimClient> {
  return transport === 'tcp'
    ? TcpClient.connect(cluster.address(comet, 'tcp'))
    : WsClient.connect(`ws://${cluster.address(comet, 'ws')}/sub`);
}

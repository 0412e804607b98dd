import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';

import { Server, ServerCredentials, status as Status, type ServerDuplexStream } from '@grpc/grpc-js';
import type { Delivery__Output } from '@halley/cluster/grpc/gen/halley/delivery/v1/Delivery';
import type { DeliverReply } from '@halley/cluster/grpc/gen/halley/delivery/v1/DeliverReply';
import type { DeliverRequest__Output } from '@halley/cluster/grpc/gen/halley/delivery/v1/DeliverRequest';
import { protos } from '@halley/cluster/grpc/protos';
import type { NodeRecord } from '@halley/cluster/registry/registry';
import type { NodeId, NodeRef } from '@halley/protocol/ids';

interface FollowedStream {
  readonly stream: string;
  last: number;
  want: number;
  reading: Promise<void> | undefined;
}

type Call = ServerDuplexStream<DeliverRequest__Output, DeliverReply>;

/** A delivery as the fake comet was sent it. */
export interface Had extends Delivery__Output {
  /** `{topic}/{partition}`. */
  readonly lane: string;
}

/** What a comet asks logic for: entries of a stream above a position, and up to where that is all. */
export type ReadStream = (
  stream: string,
  after: number,
) => Promise<{
  readonly through: number;
  readonly entries: readonly {
    readonly position: number;
    readonly id: string;
    readonly body: Uint8Array;
    readonly keys: readonly string[];
    readonly expireAtMs: number;
  }[];
}>;

/** A real gRPC server on loopback that does what a test tells it to. */
export class FakeComet {
  /** What connections would have seen, as comet does: repeats dropped by the high-water mark, streams in their order. */
  readonly shown: Had[] = [];
  /** All that came, repeats too. */
  readonly sent: Had[] = [];
  /** Pages that were read of streams. */
  pages = 0;
  /** Streams that said hello. */
  hellos = 0;
  /** `mute` takes everything and acknowledges nothing; `deaf` does not even welcome. */
  mode: 'ack' | 'mute' | 'deaf' = 'ack';
  /** Called after each message, before it is acknowledged. */
  onMessage: (() => void) | undefined;
  incarnation = randomUUID();
  readonly #calls = new Set<Call>();
  readonly #highWater = new Map<string, number>();
  /** The keys of the devices here by the stream that they follow. */
  readonly #devices = new Map<string, Set<string>>();
  readonly #streams = new Map<string, FollowedStream>();
  #server: Server | undefined;
  #port = 0;

  constructor(
    readonly id: string,
    private readonly read: ReadStream,
  ) {}

  /** A device comes that follows a stream: what is written to it from now on is shown. */
  connect(stream: string, key: string): void {
    this.#devices.set(stream, (this.#devices.get(stream) ?? new Set()).add(key));
  }

  get ref(): NodeRef {
    return { node: this.id as NodeId, incarnation: this.incarnation };
  }

  get record(): NodeRecord {
    return {
      tier: 'comet',
      id: this.id as NodeId,
      incarnation: this.incarnation,
      addresses: { grpc: `127.0.0.1:${this.#port}` },
      hostname: 'test',
      region: '',
      zone: '',
      env: 'test',
      weight: 10,
      publicAddresses: [],
      portOffset: 0,
      load: { connections: 0, ips: 0 },
      state: 'serving',
      version: '0.0.0',
      registeredAtMs: 0,
    };
  }

  /** The bodies shown, as text. */
  get texts(): string[] {
    return this.shown.map(({ body }) => body.toString());
  }

  /** Binds a free port, or the same one again after a stop. */
  async start(): Promise<this> {
    const server = new Server();
    server.addService(protos.halley.delivery.v1.DeliveryService.service, {
      Deliver: (call: Call) => this.#deliver(call),
    });
    this.#port = await new Promise<number>((resolve, reject) => {
      server.bindAsync(`127.0.0.1:${this.#port}`, ServerCredentials.createInsecure(), (error, port) => {
        if (error) reject(error);
        else resolve(port);
      });
    });
    this.#server = server;
    return this;
  }

  /** As a killed process: connections break and the port is closed. */
  stop(): void {
    this.#server?.forceShutdown();
    this.#server = undefined;
  }

  /** Breaks the streams, not the process. */
  breakStreams(): void {
    for (const call of this.#calls) call.emit('error', { code: Status.UNAVAILABLE, details: 'broken' });
    this.#calls.clear();
  }

  /** Ends the streams in good order, as a comet that leaves. */
  endStreams(): void {
    for (const call of this.#calls) call.end();
    this.#calls.clear();
  }

  /** As a process that started again: another incarnation, nothing remembered. */
  reincarnate(): void {
    this.incarnation = randomUUID();
    this.#highWater.clear();
    this.#devices.clear();
    this.#streams.clear();
  }

  /** Acknowledges all it had, after a time of being mute. */
  ackAll(): void {
    for (const call of this.#calls) this.#ack(call, [...this.#highWater.keys()]);
  }

  #deliver(call: Call): void {
    call.on('error', () => this.#calls.delete(call));
    call.on('end', () => call.end());
    call.on('data', ({ hello, batches }: DeliverRequest__Output) => {
      if (hello) {
        if (hello.comet_incarnation !== this.incarnation) {
          call.emit('error', { code: Status.FAILED_PRECONDITION, details: 'another incarnation' });
          return;
        }
        this.hellos += 1;
        if (this.mode === 'deaf') return;
        this.#calls.add(call);
        call.write({ welcome: { comet_incarnation: this.incarnation } });
      }
      if (!batches) return;
      const lanes = new Set<string>();
      for (const { topic, partition, deliveries } of batches.batches) {
        const lane = `${topic}/${partition}`;
        lanes.add(lane);
        for (const delivery of deliveries) this.#take(lane, delivery);
      }
      this.onMessage?.();
      if (this.mode === 'ack' && this.#calls.has(call)) this.#ack(call, [...lanes]);
    });
  }

  #take(lane: string, delivery: Delivery__Output): void {
    const had = { ...delivery, lane };
    this.sent.push(had);
    const position = Number(delivery.position);
    if (position <= (this.#highWater.get(lane) ?? -1)) return;
    this.#highWater.set(lane, position);
    const { keys, rooms, everyone, streams } = had;
    if (keys.length + rooms.length > 0 || everyone) this.shown.push(had);
    for (const { stream, prev, keys: only } of streams) {
      const shown = { ...had, keys: this.#reached(stream, only) };
      this.#hint(this.#follow(stream), shown, Number(prev));
    }
  }

  /** As comet: an entry whose turn it is, is shown; otherwise the stream is read. */
  #hint(followed: FollowedStream, had: Had, prev: number): void {
    const position = Number(had.position);
    if (position <= followed.last) return;
    if (!had.without_body && !followed.reading && prev <= followed.last) {
      followed.last = position;
      this.shown.push(had);
      return;
    }
    followed.want = Math.max(followed.want, position);
    followed.reading ??= this.#pull(followed, had)
      .catch(() => undefined)
      .finally(() => (followed.reading = undefined));
  }

  async #pull(followed: FollowedStream, like: Had): Promise<void> {
    while (followed.last < followed.want) {
      const page = await this.read(followed.stream, followed.last);
      this.pages += 1;
      for (const { position, id, body, keys, expireAtMs } of page.entries) {
        if (position <= followed.last || (expireAtMs > 0 && expireAtMs <= Date.now())) continue;
        const reached = this.#reached(followed.stream, keys);
        const entry = { position: String(position), id, body: Buffer.from(body), keys: reached };
        this.shown.push({ ...like, ...entry });
      }
      if (page.through <= followed.last) await sleep(20);
      followed.last = Math.max(followed.last, page.through);
    }
  }

  #reached(stream: string, only: readonly string[]): string[] {
    return [...(this.#devices.get(stream) ?? [])].filter((key) => only.length === 0 || only.includes(key));
  }

  #follow(stream: string): FollowedStream {
    let followed = this.#streams.get(stream);
    if (!followed) {
      followed = { stream, last: -1, want: -1, reading: undefined };
      this.#streams.set(stream, followed);
    }
    return followed;
  }

  #ack(call: Call, lanes: readonly string[]): void {
    const acks = lanes.map((lane) => {
      const slash = lane.lastIndexOf('/');
      return {
        topic: lane.slice(0, slash),
        partition: Number(lane.slice(slash + 1)),
        position: this.#highWater.get(lane) ?? 0,
      };
    });
    call.write({ acks: { acks } });
  }
}

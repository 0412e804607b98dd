import { type Client, Metadata, type ServiceError } from '@grpc/grpc-js';
import { encodeFrames, pushFrame } from '@halley/protocol/frame';
import { Operation } from '@halley/protocol/operation';

import { benchServices, type Call, clientOf, reasonOf } from './grpc-services.js';
import { type Outgoing, sameForAll, type Sender, type SendReply } from './sender.js';

export interface CometGrpcOptions {
  /** Of comets, as `127.0.0.1:3109`, in the order in which connections are spread over them. */
  readonly addresses: readonly string[];
  readonly operation: number;
  readonly timeoutMs: number;
  /** Messages to a room in one call: glued frames, as goim's job sends what it has collected. */
  readonly maxBatch: number;
}

const NO_METADATA = new Metadata();

/** goim's gRPC of comet, as goim's job calls it, past logic, bus and job: a room goes to every comet, a user to their own. */
export class CometGrpcSender implements Sender {
  readonly name: string;
  readonly maxBatch: number;
  readonly #clients: readonly (Client & { PushMsg: Call<unknown>; BroadcastRoom: Call<unknown> })[];

  constructor(private readonly options: CometGrpcOptions) {
    this.name = `goim's gRPC straight to comet at ${options.addresses.join(', ')}`;
    this.maxBatch = options.maxBatch;
    this.#clients = options.addresses.map((address) => clientOf(benchServices().Comet, address));
  }

  async send(batch: readonly Outgoing[]): Promise<SendReply> {
    const failures = (await Promise.all(groups(batch).map((group) => this.#sendGroup(group)))).filter(
      Boolean,
    );
    return sameForAll(batch, failures.length > 0 ? 'unknown' : 'ok', failures[0] ?? '');
  }

  close(): void {
    for (const client of this.#clients) client.close();
  }

  /** Pushes to one target. Answers what went wrong; empty when nothing did. */
  async #sendGroup(group: readonly Outgoing[]): Promise<string> {
    const [first] = group;
    if (!first) return '';
    const { operation, timeoutMs } = this.options;
    // Frames ready for the wire, as goim's job makes them.
    const body = encodeFrames(group.map((push) => pushFrame(operation, push.body)));
    const proto = { ver: 1, op: Operation.Raw, seq: 0, body };
    const deadline = { deadline: Date.now() + timeoutMs };
    const { target } = first;
    const calls =
      target.kind === 'room'
        ? this.#clients.map((client) =>
            told((done) => client.BroadcastRoom({ roomID: target.room, proto }, NO_METADATA, deadline, done)),
          )
        : [this.#clients[target.connection % this.#clients.length]].flatMap((client) =>
            client
              ? [
                  told((done) =>
                    client.PushMsg(
                      { keys: [target.key], proto, protoOp: operation },
                      NO_METADATA,
                      deadline,
                      done,
                    ),
                  ),
                ]
              : [],
          );
    return (await Promise.all(calls)).find(Boolean) ?? '';
  }
}

/** What went wrong with a call; empty when nothing did. */
function told(call: (done: (error: ServiceError | null) => void) => void): Promise<string> {
  return new Promise((resolve) => call((error) => resolve(error ? reasonOf(error) : '')));
}

/** By target, in order. */
function groups(batch: readonly Outgoing[]): Outgoing[][] {
  const byTarget = new Map<string, Outgoing[]>();
  for (const push of batch) {
    const target = push.target.kind === 'room' ? push.target.room : push.target.key;
    const group = byTarget.get(target);
    if (group) group.push(push);
    else byTarget.set(target, [push]);
  }
  return [...byTarget.values()];
}

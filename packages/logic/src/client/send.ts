import { createHash } from 'node:crypto';

import { HalleyError } from '@halley/protocol/error';
import type { SendReply, SendRequest } from '@halley/protocol/client/bodies';
import type { MessageId, RoomId } from '@halley/protocol/ids';
import type { Clock } from '@halley/service/clock';
import { parseTrace } from '@halley/service/trace';
import { streamOf } from '@halley/store/shard';
import type { Position, Streams } from '@halley/store/streams/streams';

import type { ClientEvents } from '../hooks/client-events.js';
import type { SendHook } from '../hooks/send-hook.js';
import type { PushAcceptor } from '../push/accept.js';
import type { Durability } from '../push/durability.js';
import { Lanes } from '../push/lane.js';
import { invalid, MAX_NAME_LENGTH, type PushMessage } from '../push/target.js';
import type { UpstreamWriter } from '../upstream/receive.js';
import { ANONYMOUS, type Asker, CLIENT_CALLER } from './asker.js';
import { checkOperation, checkOneTarget } from './target.js';

export interface ClientSenderDeps {
  readonly acceptor: Pick<PushAcceptor, 'accept'>;
  readonly upstream: Pick<UpstreamWriter, 'receive'>;
  readonly streams: Pick<Streams, 'appliedAt'>;
  readonly durability: Pick<Durability, 'isDurableRoom'>;
  readonly maxBodyBytes: number;
  /** The bus's epoch now. */
  readonly epoch: () => string;
  readonly clock: Clock;
  /** Told what was accepted. Default: nobody. */
  readonly events?: Pick<ClientEvents, 'messageIn'>;
  /** Asked about what is not granted. Default: it is refused. */
  readonly hook?: Pick<SendHook, 'require'>;
}

/** Characters of a client's own id of a message. */
const MAX_CLIENT_ID_LENGTH = 64;

/** Takes what clients send (18): to rooms, to users, and to the business. */
export class ClientSender {
  /** The look for an id that is known must not let messages of one connection overtake each other. */
  readonly #lanes = new Lanes();

  constructor(private readonly deps: ClientSenderDeps) {}

  /**
   * Answers once the message is durable. Throws `send_not_granted`, what {@link SendHook.require} throws, `invalid_argument`, `body_too_large`, what {@link PushAcceptor.accept}
   * throws, and for the business what {@link UpstreamWriter.receive} does.
   */
  async send(request: SendRequest, from: Asker): Promise<Partial<SendReply>> {
    this.#check(request);
    const id = idOf(request.clientId, from);
    if (request.room === '' && request.toMid === ANONYMOUS) return this.#toBusiness(request, id, from);
    if (from.notGranted && !this.deps.hook) throw new HalleyError('send_not_granted');
    if (from.notGranted) await this.deps.hook?.require(request, id, from);
    const { message, stream, streams } = this.#messageOf(request, id, from);
    return this.#lanes.run(`${from.mid} ${from.key}`, this.#appliedAt(message, streams), async (known) => {
      const epoch = message.durable ? this.deps.epoch() : '';
      // The first of its streams is where the sender finds it.
      if (known) return { id, stream, epoch, position: known.position, duplicate: true };
      const acceptedAtMs = this.deps.clock.now();
      await this.deps.acceptor.accept(message, {
        lane: `client ${from.mid} ${from.key}`,
        caller: CLIENT_CALLER,
        traceparent: parseTrace(request.traceparent) ?? from.traceparent,
        deadlineMs: from.deadlineMs,
      });
      this.deps.events?.messageIn(from, message, { stream: epoch === '' ? '' : stream, epoch });
      return { id, stream, epoch, acceptedAtMs };
    });
  }

  #check({ clientId, room, toMid, operation, body, expireAtMs }: SendRequest): void {
    const { maxBodyBytes, clock } = this.deps;
    if (clientId === '') throw invalid('client_id', 'is empty');
    if (clientId.length > MAX_CLIENT_ID_LENGTH) {
      throw invalid('client_id', `${clientId.length} characters, more than ${MAX_CLIENT_ID_LENGTH}`);
    }
    if (room !== '' || toMid !== ANONYMOUS) {
      checkOneTarget(room, toMid);
      checkOperation(operation);
    }
    if (room.length > MAX_NAME_LENGTH) {
      throw invalid('room', `${room.length} characters, more than ${MAX_NAME_LENGTH}`);
    }
    if (body.length > maxBodyBytes) {
      throw new HalleyError('body_too_large', `body: ${body.length} bytes, more than ${maxBodyBytes}`);
    }
    if (expireAtMs !== 0 && expireAtMs <= clock.now()) {
      throw invalid('expire_at_ms', 'has passed: Unix milliseconds in the future, or 0 for never');
    }
  }

  async #toBusiness({ operation, body }: SendRequest, id: MessageId, { at, mid, key }: Asker) {
    const proto = { ver: 2, op: operation, seq: 0, body: bufferOf(body) };
    const acceptedAtMs = this.deps.clock.now();
    await this.deps.upstream.receive({ mid, key, server: at.node, roomId: '', proto, id });
    return { id, acceptedAtMs };
  }

  #messageOf(
    { clientId, room, toMid, operation, body, expireAtMs }: SendRequest,
    id: MessageId,
    from: Asker,
  ) {
    const common = {
      id,
      operation,
      body: bufferOf(body),
      expireAtMs,
      sender: { mid: from.mid, key: from.key, clientId, toMid },
    };
    if (room !== '') {
      const target = { kind: 'room' as const, room: room as RoomId };
      const message: PushMessage = { ...common, target, durable: this.deps.durability.isDurableRoom(room) };
      const stream = streamOf.room(target.room);
      return { message, stream, streams: [stream] };
    }
    const users = [from.mid, toMid].filter(
      (mid, index, all) => mid !== ANONYMOUS && all.indexOf(mid) === index,
    );
    const message: PushMessage = { ...common, target: { kind: 'users', users }, durable: true };
    const stream = from.mid === ANONYMOUS ? '' : streamOf.user(from.mid);
    return { message, stream, streams: users.map(streamOf.user) };
  }

  /**
   * Where the message was taken in before, under the same client id: in the first of its streams. Undefined when it was
   * not in each of them, and when nobody knows: then it is written again, and job drops what is there.
   */
  async #appliedAt(
    { id, durable }: PushMessage,
    streams: readonly string[],
  ): Promise<{ readonly position: Position } | undefined> {
    if (!durable) return undefined;
    try {
      const found = await Promise.all(
        streams.map((stream) => this.deps.streams.appliedAt(stream, CLIENT_CALLER, id)),
      );
      const [position] = found;
      return position === undefined || found.includes(undefined) ? undefined : { position };
    } catch {
      return undefined;
    }
  }
}

/** The id under which receivers know a message: the same for the same client id of a user, of an anonymous connection. */
function idOf(clientId: string, { mid, key }: Asker): MessageId {
  const whose = mid === ANONYMOUS ? `key ${key}` : mid;
  const hash = createHash('sha256').update(`${whose}\n${clientId}`).digest('base64url');
  return `c-${hash.slice(0, 22)}` as MessageId;
}

function bufferOf(body: Uint8Array): Buffer {
  return Buffer.from(body.buffer, body.byteOffset, body.byteLength);
}

import { afterAll, afterEach, beforeAll, describe, expect } from '@jest/globals';

import type { GoimClient, Received, Transport } from '../../harness/goim-client.js';
import { cometClient, logicClient } from '../../harness/grpc.js';
import { HttpApi, type HttpAnswer } from '../../harness/http.js';
import { HttpGoimClient } from '../../harness/http-client.js';
import type { Target } from '../../harness/target.js';
import { TcpClient } from '../../harness/tcp-client.js';
import { isHttp, transportsUnderTest } from '../../harness/transports.js';
import type { Room } from '../../harness/unique.js';
import { WsClient } from '../../harness/ws-client.js';

/** What is tested; where one is told to be TCP or WebSocket, that is another party. */
export const TRANSPORTS = transportsUnderTest(process.env);

/** A `describe` of what no transport changes: it is tested where TCP is, and nowhere again. */
export function describeOnce(name: string, tests: () => void): void {
  if (!TRANSPORTS.includes('tcp')) return;
  describe(name, () => {
    tests();
  });
}

/** The answer to every push that is taken. */
export const OK = '{"code":0,"message":""}';

/** What all suites share: clients of the target, which are closed after each test, and the push calls. */
export class Stage {
  #clients: GoimClient[] = [];
  #http: HttpApi | undefined;
  #comet: ReturnType<typeof cometClient> | undefined;
  #logic: ReturnType<typeof logicClient> | undefined;

  /** Within a `describe`: the target is asked for once its tests run. */
  constructor(private readonly targetOf: () => Target) {
    beforeAll(() => {
      const { logicHttp, cometGrpc, logicGrpc } = targetOf();
      this.#http = new HttpApi(logicHttp);
      this.#comet = cometClient(cometGrpc);
      this.#logic = logicClient(logicGrpc);
    });
    afterEach(() => {
      const clients = this.#clients;
      this.#clients = [];
      for (const client of clients) client.close();
      expect(clients.flatMap((client) => client.breaches)).toEqual([]);
    });
    afterAll(() => {
      this.#http?.close();
      this.#comet?.close();
      this.#logic?.close();
    });
  }

  get target(): Target {
    return this.targetOf();
  }

  get http(): HttpApi {
    return made(this.#http);
  }

  get comet(): ReturnType<typeof cometClient> {
    return made(this.#comet);
  }

  get logic(): ReturnType<typeof logicClient> {
    return made(this.#logic);
  }

  async tcp(): Promise<TcpClient> {
    return this.#keep(await TcpClient.connect(this.target.tcp));
  }

  async ws(): Promise<WsClient> {
    return this.#keep(await WsClient.connect(this.target.ws));
  }

  async connect(transport: Transport): Promise<GoimClient> {
    if (isHttp(transport)) return this.#keep(new HttpGoimClient(transport, this.target.ws));
    return transport === 'tcp' ? this.tcp() : this.ws();
  }

  /** Connected and authenticated. */
  async open(transport: Transport, token: unknown): Promise<GoimClient> {
    const client = await this.connect(transport);
    await client.auth(token);
    return client;
  }

  /** One client a transport, each with the token. */
  async openBoth(token: (transport: Transport) => unknown): Promise<GoimClient[]> {
    return Promise.all(TRANSPORTS.map((transport) => this.open(transport, token(transport))));
  }

  /** Pushes that must be answered exactly as goim does. */
  async pushMids(op: number, mids: readonly bigint[], body: Uint8Array | string): Promise<void> {
    expectOk(await this.http.post('/goim/push/mids', { operation: op, mids }, body));
  }

  async pushKeys(op: number, keys: readonly string[], body: Uint8Array | string): Promise<void> {
    expectOk(await this.http.post('/goim/push/keys', { operation: op, keys }, body));
  }

  async pushRoom(op: number, room: Room, body: Uint8Array | string): Promise<void> {
    expectOk(
      await this.http.post('/goim/push/room', { operation: op, type: room.type, room: room.room }, body),
    );
  }

  async pushAll(op: number, body: Uint8Array | string): Promise<void> {
    expectOk(await this.http.post('/goim/push/all', { operation: op }, body));
  }

  #keep<Client extends GoimClient>(client: Client): Client {
    this.#clients.push(client);
    return client;
  }
}

/** Status 200, JSON, and goim's bytes. */
export function expectOk(answer: HttpAnswer): void {
  expect(answer).toEqual({ status: 200, contentType: expect.stringMatching(/^application\/json/), text: OK });
}

/** A refusal by goim's rules: the status, the code, and a message that names each of the fields. */
export function expectRefusal(
  answer: HttpAnswer,
  status: number,
  code: number,
  fields: readonly string[] = [],
): void {
  const parsed = JSON.parse(answer.text) as { code: number; message: string };
  expect({ status: answer.status, code: parsed.code }).toEqual({ status, code });
  expect(Object.keys(parsed)).toEqual(['code', 'message']);
  expect(answer.contentType).toMatch(/^application\/json/);
  expect(parsed.message).not.toBe('');
  for (const field of fields) expect(parsed.message).toContain(field);
}

/** The next frame is this push: version 1, seq 0, bare on TCP and within an op 9 frame on WebSocket. */
export async function expectPush(client: GoimClient, op: number, body: Uint8Array | string): Promise<void> {
  expect(readable(await client.next())).toEqual({
    ver: 1,
    op,
    seq: 0,
    body: Buffer.from(body).toString('latin1'),
    wrapped: client.transport === 'ws',
  });
}

/** The reply is exactly this: bare, with the request's seq. */
export function expectReply(reply: Received, op: number, seq: number, body: Uint8Array | string = ''): void {
  expect(readable(reply)).toEqual({
    ver: 1,
    op,
    seq,
    body: Buffer.from(body).toString('latin1'),
    wrapped: false,
  });
}

/** A frame whose body is text, for comparisons that print well. */
export function readable(frame: Received): object {
  return { ...frame, body: Buffer.from(frame.body).toString('latin1') };
}

/** The texts of the next pushes. */
export async function texts(client: GoimClient, count: number, timeoutMs?: number): Promise<string[]> {
  const frames = await client.take(count, timeoutMs);
  return frames.map((frame) => Buffer.from(frame.body).toString());
}

/** `count` texts, numbered. */
export function numbered(prefix: string, count: number): string[] {
  return Array.from({ length: count }, (_, index) => `${prefix}-${index}`);
}

/** Hex without its spaces. */
export function hex(text: string): string {
  return text.replaceAll(' ', '');
}

export function bytes(text: string): Buffer {
  return Buffer.from(hex(text), 'hex');
}

/** A header as a client might write it, right or wrong. */
export function header(fields: {
  packLen: number;
  headerLen?: number;
  ver?: number;
  op?: number;
  seq?: number;
}): Buffer {
  const out = Buffer.alloc(16);
  out.writeInt32BE(fields.packLen, 0);
  out.writeInt16BE(fields.headerLen ?? 16, 4);
  out.writeInt16BE(fields.ver ?? 1, 6);
  out.writeInt32BE(fields.op ?? 4, 8);
  out.writeInt32BE(fields.seq ?? 1, 12);
  return out;
}

function made<Value>(value: Value | undefined): Value {
  if (value === undefined) throw new Error('the stage is used before its tests run');
  return value;
}

import { connect, type Socket } from 'node:net';

const TIMEOUT_MS = 5_000;
const REQUEST = { exists: 3, getChildren: 8, closeSession: -11 } as const;
/** Of a stat: czxid, mzxid, ctime, mtime, version, cversion, aversion stand before the owner. */
const OWNER_AT = 4 * 8 + 3 * 4;
const CONNECT_BYTES = 45;
const NEW_SESSION = { id: 0n, password: Buffer.alloc(16) };

export interface ZooKeeperSession {
  readonly id: bigint;
  readonly password: Buffer;
}

/** It ended before. */
export class NoSuchSession extends Error {
  override readonly name = 'NoSuchSession';
}

/** As much of ZooKeeper's protocol as it takes to look who owns entries, and to end a session. */
export class ZooKeeperClient {
  #received = Buffer.alloc(0);
  #next: { resolve: (packet: Buffer) => void; reject: (error: Error) => void } | undefined;
  #xid = 0;

  private constructor(private readonly socket: Socket) {
    socket.setTimeout(TIMEOUT_MS, () => socket.destroy(new Error('ZooKeeper does not answer')));
    socket.on('error', (error) => this.#next?.reject(error));
    socket.on('close', () => this.#next?.reject(new Error('ZooKeeper closed the connection')));
    socket.on('data', (chunk: Buffer) => this.#take(chunk));
  }

  /** Connects to `host:port`, with a session of its own or as one that there is. */
  static async connect(address: string, session: ZooKeeperSession = NEW_SESSION): Promise<ZooKeeperClient> {
    const colon = address.lastIndexOf(':');
    const socket = connect({ host: address.slice(0, colon), port: Number(address.slice(colon + 1)) });
    const client = new ZooKeeperClient(socket);
    // protocol version, last zxid seen, timeout, session id, password, read-only
    const request = Buffer.alloc(CONNECT_BYTES);
    request.writeInt32BE(10_000, 12);
    request.writeBigInt64BE(BigInt.asIntN(64, session.id), 16);
    request.writeInt32BE(session.password.length, 24);
    session.password.copy(request, 28);
    const answer = await client.#call(request);
    // A session that there is not is answered with none.
    if (answer.readInt32BE(4) <= 0) throw new NoSuchSession('ZooKeeper does not know the session');
    return client;
  }

  /** Names below a path; none where there is no such path. */
  async children(path: string): Promise<string[]> {
    const answer = await this.#ask(REQUEST.getChildren, path);
    if (!answer) return [];
    const names: string[] = [];
    for (let at = 4, left = answer.readInt32BE(0); left > 0; left -= 1) {
      const length = answer.readInt32BE(at);
      names.push(answer.toString('utf8', at + 4, at + 4 + length));
      at += 4 + length;
    }
    return names;
  }

  /** The session that an entry goes with; undefined where it goes with none, or is not there. */
  async owner(path: string): Promise<bigint | undefined> {
    const answer = await this.#ask(REQUEST.exists, path);
    return answer?.readBigInt64BE(OWNER_AT) || undefined;
  }

  /** Ends the session, of which this is a connection. */
  async closeSession(): Promise<void> {
    const header = Buffer.alloc(8);
    header.writeInt32BE((this.#xid += 1), 0);
    header.writeInt32BE(REQUEST.closeSession, 4);
    await this.#call(header);
    this.socket.destroy();
  }

  async #ask(type: number, path: string): Promise<Buffer | undefined> {
    const name = Buffer.from(path);
    const request = Buffer.alloc(8 + 4 + name.length + 1);
    request.writeInt32BE((this.#xid += 1), 0);
    request.writeInt32BE(type, 4);
    request.writeInt32BE(name.length, 8);
    name.copy(request, 12);
    // xid, zxid, error
    const answer = await this.#call(request);
    return answer.readInt32BE(12) === 0 ? answer.subarray(16) : undefined;
  }

  #call(packet: Buffer): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      this.#next = { resolve, reject };
      const length = Buffer.alloc(4);
      length.writeInt32BE(packet.length);
      this.socket.write(Buffer.concat([length, packet]));
    });
  }

  #take(chunk: Buffer): void {
    this.#received = Buffer.concat([this.#received, chunk]);
    if (this.#received.length < 4) return;
    const end = 4 + this.#received.readInt32BE(0);
    if (this.#received.length < end) return;
    const packet = this.#received.subarray(4, end);
    this.#received = this.#received.subarray(end);
    this.#next?.resolve(packet);
  }
}

import { NoSuchSession, ZooKeeperClient, type ZooKeeperSession } from './zookeeper-client.js';

/** Where nodes register. */
const ROOT = '/halley';
const PASSWORD_BYTES = 16;
const ATTEMPTS = 50;

/** What ZooKeeper draws passwords of sessions with: java.util.Random, its seed the session's id mixed with this. */
const SECRET = 0xb3415c00n;
const MULTIPLIER = 0x5deece66dn;
const SEED_BITS = 48;

/** Ends the ZooKeeper session of every registered node at once, while the nodes live. Answers how many there were. */
export async function expireSessions(address: string): Promise<number> {
  const client = await ZooKeeperClient.connect(address);
  const owners = new Set(await ownersBelow(client, ROOT));
  await client.closeSession();
  await Promise.all([...owners].map((id) => expire(address, { id, password: passwordOf(id) })));
  return owners.size;
}

/** The node, of which this takes the connection, comes back at once and takes it again: whoever is faster. */
async function expire(address: string, session: ZooKeeperSession): Promise<void> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      const client = await ZooKeeperClient.connect(address, session);
      return await client.closeSession();
    } catch (error) {
      if (error instanceof NoSuchSession) return;
      if (attempt === ATTEMPTS) throw error;
    }
  }
}

async function ownersBelow(client: ZooKeeperClient, path: string): Promise<bigint[]> {
  const owner = await client.owner(path);
  const owners = owner === undefined ? [] : [owner];
  for (const name of await client.children(path))
    owners.push(...(await ownersBelow(client, `${path}/${name}`)));
  return owners;
}

/** The password that ZooKeeper gave a session (its `ZooKeeperServer.generatePasswd`). */
export function passwordOf(id: ZooKeeperSession['id']): Buffer {
  let seed = BigInt.asUintN(SEED_BITS, BigInt.asUintN(64, id) ^ SECRET ^ MULTIPLIER);
  const password = Buffer.alloc(PASSWORD_BYTES);
  for (let at = 0; at < PASSWORD_BYTES; at += 4) {
    seed = BigInt.asUintN(SEED_BITS, seed * MULTIPLIER + 11n);
    password.writeInt32LE(Number(BigInt.asIntN(32, seed >> 16n)), at);
  }
  return password;
}

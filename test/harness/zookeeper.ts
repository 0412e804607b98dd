import { createClient } from 'node-zookeeper-client';

/** A node's entry in ZooKeeper. */
export interface ZooKeeperEntry {
  readonly path: string;
  /** The session that it goes with. */
  readonly owner: string;
  readonly record: { readonly incarnation: string; readonly state: string };
}

/** Every entry below `/halley/{env}`, by path; read with a session of its own. */
export async function zookeeperEntries(server: string, env = 'dev'): Promise<ZooKeeperEntry[]> {
  const client = createClient(server, { sessionTimeout: 5_000, retries: 0 });
  const children = (path: string): Promise<string[]> =>
    new Promise((resolve, reject) => {
      client.getChildren(path, (error, names) => (error ? reject(error) : resolve(names)));
    });
  const read = (path: string): Promise<ZooKeeperEntry> =>
    new Promise((resolve, reject) => {
      client.getData(path, (error, data, stat) => {
        if (error) return reject(error);
        const record = JSON.parse(data.toString()) as ZooKeeperEntry['record'];
        resolve({ path, owner: stat.ephemeralOwner.toString('hex'), record });
      });
    });
  try {
    await new Promise<void>((resolve) => {
      client.once('connected', resolve);
      client.connect();
    });
    const paths: string[] = [];
    for (const tier of await children(`/halley/${env}`)) {
      for (const id of await children(`/halley/${env}/${tier}`)) paths.push(`/halley/${env}/${tier}/${id}`);
    }
    return await Promise.all(paths.toSorted().map(read));
  } finally {
    client.close();
  }
}

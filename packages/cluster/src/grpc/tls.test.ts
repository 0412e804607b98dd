import path from 'node:path';
import { fileURLToPath } from 'node:url';

import { afterEach, describe, expect, test } from '@jest/globals';
import { silentLogger } from '@halley/service/log';
import { Metrics } from '@halley/service/metrics';

import { EmbeddedRegistry } from '../registry/embedded.js';
import { call, createClient, tierClient } from './client.js';
import { SessionService, startNode } from './fixture.js';
import type { SessionServiceClient } from './gen/halley/delivery/v1/SessionService.js';
import { clientCredentials, type ClientTls, serverCredentials } from './tls.js';

const FOLDER = fileURLToPath(new URL('test-certificates', import.meta.url));
const caFile = path.join(FOLDER, 'ca.pem');
const certFile = path.join(FOLDER, 'node.pem');
const keyFile = path.join(FOLDER, 'node.key');
const SERVER_NAME = 'halley-node';

const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).toReversed()) await close();
});

async function start(clientCaFile: string) {
  const node = await startNode('a', {}, { tls: { certFile, keyFile, clientCaFile } });
  closers.push(() => node.server.stop(0));
  return node;
}

function common() {
  return { log: silentLogger(), metrics: new Metrics({ process: false }) };
}

async function clientOf(target: string, tls?: Partial<ClientTls>): Promise<SessionServiceClient> {
  const full = { caFile: '', certFile: '', keyFile: '', serverName: '', ...tls };
  const credentials = await clientCredentials(tls && full);
  const options = { ...common(), target, credentials, serverName: full.serverName };
  const client = createClient(SessionService, options);
  closers.push(() => client.close());
  return client;
}

function ask(client: SessionServiceClient) {
  return call(client.Connect.bind(client), {}, { deadlineMs: 2_000 });
}

describe('gRPC over TLS', () => {
  test('serves who trusts the authority and expects the name, and nobody in plain', async () => {
    const { record } = await start('');
    const target = record.addresses.grpc ?? '';
    expect(await ask(await clientOf(target, { caFile, serverName: SERVER_NAME }))).toMatchObject({
      key: 'a',
    });
    for (const tls of [undefined, { caFile, serverName: 'other' }, { caFile }]) {
      await expect(ask(await clientOf(target, tls))).rejects.toMatchObject({ code: 'unavailable' });
    }
  });

  test('with a client authority, serves only who shows a certificate of it', async () => {
    const { record } = await start(caFile);
    const target = record.addresses.grpc ?? '';
    const tls = { caFile, serverName: SERVER_NAME };
    await expect(ask(await clientOf(target, tls))).rejects.toMatchObject({ code: 'unavailable' });
    expect(await ask(await clientOf(target, { ...tls, certFile, keyFile }))).toMatchObject({ key: 'a' });
  });

  test('works for a tier too', async () => {
    const { record } = await start(caFile);
    const registry = new EmbeddedRegistry({ log: silentLogger() });
    await registry.start();
    await registry.register(record);
    const client = tierClient(SessionService, {
      ...common(),
      tier: 'logic',
      view: await registry.watch('logic'),
      sessionTimeoutMs: 6_000,
      credentials: await clientCredentials({ caFile, certFile, keyFile, serverName: SERVER_NAME }),
      serverName: SERVER_NAME,
    });
    closers.push(() => client.close());
    expect(await ask(client)).toMatchObject({ key: 'a' });
  });

  test('names a file that cannot be read', async () => {
    const missing = { certFile: '/no/such.pem', keyFile, clientCaFile: '' };
    await expect(serverCredentials(missing)).rejects.toMatchObject({
      code: 'bad_config',
      message: 'The TLS file /no/such.pem cannot be read.',
    });
  });
});

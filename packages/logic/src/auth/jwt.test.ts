import { generateKeyPairSync } from 'node:crypto';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { CompactSign, type CryptoKey, exportJWK, exportSPKI, generateKeyPair } from 'jose';

import { JwtKeys, type JwtKeySources } from './jwt-keys.js';
import { JWT_ALGORITHMS, JwtVerifier, type JwtOptions } from './jwt.js';

const NOW_SECONDS = 1_900_000_000;
const folder = mkdtempSync(join(tmpdir(), 'halley-jwt-'));
const SECRET = 'a secret of more than thirty-two bytes, shared';

let monotonicMs = 0;
const clock = { now: () => NOW_SECONDS * 1_000, monotonicMs: () => monotonicMs };

const verifier = async (sources: JwtKeySources, options: Partial<JwtOptions> = {}) =>
  new JwtVerifier({
    keys: await JwtKeys.load(sources, clock),
    algorithms: JWT_ALGORITHMS,
    issuers: [],
    audiences: [],
    leewayMs: 5_000,
    clock,
    ...options,
  });

/** Signs a payload given as text, so that its integers are exact. */
async function sign(
  payload: string,
  alg = 'HS256',
  key: CryptoKey | Uint8Array = Buffer.from(SECRET),
  kid?: string,
) {
  return Buffer.from(
    await new CompactSign(Buffer.from(payload))
      .setProtectedHeader({ alg, ...(kid ? { kid } : {}) })
      .sign(key),
  );
}

const refused = (code: string, message?: string) =>
  expect.objectContaining({ code, ...(message ? { message: expect.stringContaining(message) } : {}) });

describe('claims', () => {
  test('mid is exact, as a number or as text, and sub serves when it is absent', async () => {
    const jwt = await verifier({ secret: SECRET });
    expect((await jwt.verify(await sign('{"mid":9007199254740993}'))).mid).toBe('9007199254740993');
    expect((await jwt.verify(await sign('{"mid":"-9223372036854775808"}'))).mid).toBe('-9223372036854775808');
    expect((await jwt.verify(await sign('{"sub":"9223372036854775807"}'))).mid).toBe('9223372036854775807');
    expect((await jwt.verify(await sign('{"sub":"alice","mid":5}'))).mid).toBe('5');
  });

  test('a token without a user, or with one that is no integer, is refused', async () => {
    const jwt = await verifier({ secret: SECRET });
    await expect(jwt.verify(await sign('{}'))).rejects.toEqual(refused('bad_token', 'sub'));
    await expect(jwt.verify(await sign('{"sub":"alice"}'))).rejects.toEqual(refused('bad_token', 'sub'));
    await expect(jwt.verify(await sign('{"mid":1.5}'))).rejects.toEqual(refused('bad_token', 'mid'));
    await expect(jwt.verify(await sign('{"mid":9223372036854775808}'))).rejects.toEqual(
      refused('bad_token', 'mid'),
    );
  });

  test('key, room, platform, accepts and room grants are read', async () => {
    const jwt = await verifier({ secret: SECRET });
    const payload =
      '{"mid":1,"key":"k","room_id":"live://1","platform":"web","accepts":[1000],"rooms":["live://*","chat://7"],"exp":1900000060}';
    expect(await jwt.verify(await sign(payload))).toEqual({
      mid: '1',
      key: 'k',
      roomId: 'live://1',
      platform: 'web',
      accepts: [1000],
      expiresAtMs: 1_900_000_065_000,
      rooms: { any: false, patterns: ['live://*', 'chat://7', 'live://1'] },
      publish: { any: false, patterns: [] },
      sendToUsers: false,
    });
  });

  test('who may join may send only where publish and send_users say so', async () => {
    const jwt = await verifier({ secret: SECRET });
    const joins = await jwt.verify(await sign('{"mid":1,"room_id":"a","rooms":["*"],"send_users":null}'));
    expect(joins).toMatchObject({ publish: { any: false, patterns: [] }, sendToUsers: false });
    const sends = await jwt.verify(
      await sign('{"mid":1,"room_id":"a","publish":["chat://*","b"],"send_users":true}'),
    );
    expect(sends).toMatchObject({
      rooms: { any: false, patterns: ['a'] },
      publish: { any: false, patterns: ['chat://*', 'b'] },
      sendToUsers: true,
    });
    expect((await jwt.verify(await sign('{"mid":1,"publish":["*"]}'))).publish.any).toBe(true);
    await expect(jwt.verify(await sign('{"mid":1,"publish":"*"}'))).rejects.toEqual(
      refused('bad_token', 'publish: not a list'),
    );
    await expect(jwt.verify(await sign('{"mid":1,"publish":["a",1]}'))).rejects.toEqual(
      refused('bad_token', 'publish[1]'),
    );
    await expect(jwt.verify(await sign('{"mid":1,"send_users":1}'))).rejects.toEqual(
      refused('bad_token', 'send_users'),
    );
  });

  test('without a rooms claim only the room of the token is granted; "*" grants all', async () => {
    const jwt = await verifier({ secret: SECRET });
    expect((await jwt.verify(await sign('{"mid":1,"room_id":"a"}'))).rooms).toEqual({
      any: false,
      patterns: ['a'],
    });
    expect((await jwt.verify(await sign('{"mid":1,"room_id":"a://*"}'))).rooms.patterns).toEqual([]);
    expect((await jwt.verify(await sign('{"mid":1,"rooms":["*"]}'))).rooms.any).toBe(true);
    await expect(jwt.verify(await sign('{"mid":1,"rooms":[1]}'))).rejects.toEqual(
      refused('bad_token', 'rooms[0]'),
    );
  });

  test.each(['{"mid":1,"key":5}', '{"mid":1,"accepts":"x"}', '[1]'])(
    'wrong types are refused: %s',
    async (payload) => {
      const jwt = await verifier({ secret: SECRET });
      await expect(jwt.verify(await sign(payload))).rejects.toEqual(refused('bad_token'));
    },
  );
});

describe('validity', () => {
  test('exp and nbf hold with the leeway', async () => {
    const jwt = await verifier({ secret: SECRET });
    await expect(jwt.verify(await sign(`{"mid":1,"exp":${NOW_SECONDS - 4}}`))).resolves.toBeDefined();
    await expect(jwt.verify(await sign(`{"mid":1,"exp":${NOW_SECONDS - 6}}`))).rejects.toEqual(
      refused('token_expired'),
    );
    await expect(jwt.verify(await sign(`{"mid":1,"nbf":${NOW_SECONDS + 4}}`))).resolves.toBeDefined();
    await expect(jwt.verify(await sign(`{"mid":1,"nbf":${NOW_SECONDS + 6}}`))).rejects.toEqual(
      refused('bad_token', 'nbf'),
    );
  });

  test('issuer and audience are checked when set', async () => {
    const jwt = await verifier({ secret: SECRET }, { issuers: ['us'], audiences: ['chat'] });
    await expect(jwt.verify(await sign('{"mid":1,"iss":"us","aud":["chat"]}'))).resolves.toBeDefined();
    await expect(jwt.verify(await sign('{"mid":1,"iss":"them","aud":"chat"}'))).rejects.toEqual(
      refused('bad_token', 'iss'),
    );
    await expect(jwt.verify(await sign('{"mid":1,"iss":"us"}'))).rejects.toEqual(refused('bad_token', 'aud'));
  });

  test.each(['', 'x', 'a.b.c', '{"mid":1}', 'eyJhbGciOiJub25lIn0.eyJtaWQiOjF9.'])(
    '%j is no token',
    async (token) => {
      const jwt = await verifier({ secret: SECRET });
      await expect(jwt.verify(Buffer.from(token))).rejects.toEqual(refused('bad_token'));
    },
  );

  test('another secret does not verify, and the error does not quote the token', async () => {
    const jwt = await verifier({ secret: SECRET });
    const token = await sign('{"mid":1}', 'HS256', Buffer.from('another secret of thirty-two bytes or more'));
    const error: Error = await jwt.verify(token).then(
      () => new Error('verified'),
      (thrown: Error) => thrown,
    );
    expect(error).toEqual(refused('bad_token'));
    expect(error.message).not.toContain(token.toString());
  });
});

describe('keys', () => {
  test.each(['RS256', 'ES256', 'EdDSA'])('%s with a PEM file', async (alg) => {
    const { publicKey, privateKey } = await generateKeyPair(alg, { extractable: true });
    const file = join(folder, `${alg}.pem`);
    writeFileSync(file, await exportSPKI(publicKey));
    const jwt = await verifier({ publicKeyFiles: [file] });
    expect((await jwt.verify(await sign('{"mid":1}', alg, privateKey))).mid).toBe('1');
  });

  test('a public key is never taken as a shared secret', async () => {
    const { publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
    const pem = publicKey.export({ type: 'spki', format: 'pem' });
    const file = join(folder, 'confused.pem');
    writeFileSync(file, pem);
    const jwt = await verifier({ publicKeyFiles: [file] });
    await expect(jwt.verify(await sign('{"mid":1}', 'HS256', Buffer.from(pem)))).rejects.toEqual(
      refused('bad_token'),
    );
  });

  test('an algorithm that is not allowed is refused', async () => {
    const jwt = await verifier({ secret: SECRET }, { algorithms: ['ES256'] });
    await expect(jwt.verify(await sign('{"mid":1}'))).rejects.toEqual(refused('bad_token', 'algorithm'));
  });

  test('a JWKS file is read again when it has changed, and keys of one kid replace each other', async () => {
    const old = await generateKeyPair('ES256', { extractable: true });
    const young = await generateKeyPair('ES256', { extractable: true });
    const file = join(folder, 'jwks.json');
    writeFileSync(file, JSON.stringify({ keys: [{ ...(await exportJWK(old.publicKey)), kid: 'old' }] }));
    const jwt = await verifier({ jwksFile: file });
    const token = await sign('{"mid":2}', 'ES256', young.privateKey, 'young');
    await expect(jwt.verify(token)).rejects.toEqual(refused('bad_token', 'no key'));
    await new Promise((resolve) => setTimeout(resolve, 10));
    writeFileSync(file, JSON.stringify({ keys: [{ ...(await exportJWK(young.publicKey)), kid: 'young' }] }));
    monotonicMs += 10_001;
    expect((await jwt.verify(token)).mid).toBe('2');
  });

  test('missing and broken key files are a bad configuration', async () => {
    await expect(JwtKeys.load({}, clock)).rejects.toEqual(refused('bad_config', 'auth.jwt'));
    await expect(JwtKeys.load({ publicKeyFiles: ['/nowhere'] }, clock)).rejects.toEqual(
      refused('bad_config', '/nowhere'),
    );
    await expect(JwtKeys.load({ jwksFile: '/nowhere' }, clock)).rejects.toEqual(
      refused('bad_config', '/nowhere'),
    );
    await expect(JwtKeys.load({ jwksUrl: 'x' }, clock)).rejects.toEqual(refused('bad_config', 'jwksUrl'));
  });
});

describe('a JWKS by HTTP', () => {
  let url = '';
  let answer: { status: number; body: string };
  const server = createServer((_request, response) => {
    response.writeHead(answer.status, { 'content-type': 'application/json' });
    response.end(answer.body);
  });
  beforeAll(async () => {
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/jwks`;
  });
  afterAll(() => {
    server.closeAllConnections();
    server.close();
  });

  test('serves keys; when it is away nothing can be said of a token', async () => {
    const { publicKey, privateKey } = await generateKeyPair('RS256', { extractable: true });
    const token = await sign('{"mid":3}', 'RS256', privateKey, 'a');
    const jwt = await verifier({ jwksUrl: url });
    answer = { status: 500, body: '' };
    await expect(jwt.verify(token)).rejects.toEqual(refused('keys_unavailable'));
    answer = { status: 200, body: JSON.stringify({ keys: [{ ...(await exportJWK(publicKey)), kid: 'a' }] }) };
    expect((await jwt.verify(token)).mid).toBe('3');
    answer = { status: 500, body: '' };
    expect((await jwt.verify(token)).mid).toBe('3');
    await expect(jwt.verify(await sign('{"mid":3}', 'RS256', privateKey, 'b'))).rejects.toEqual(
      refused('bad_token'),
    );
  });
});

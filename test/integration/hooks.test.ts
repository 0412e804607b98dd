import { execFileSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { text as textOf } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';

import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { eventCodec } from '@halley/cluster/grpc/event-codec';
import { webhookConfig } from '@halley/job/webhook/config';
import { Webhooks } from '@halley/job/webhook/webhooks';
import { systemClock } from '@halley/service/clock';
import { silentLogger } from '@halley/service/log';
import { Metrics } from '@halley/service/metrics';
import { type BusRecord, Topic } from '@halley/store/bus/bus';
import { busConfig } from '@halley/store/bus/config';
import { KafkaBus } from '@halley/store/bus/kafka';
import { EVENT_KINDS } from '@halley/store/events/config';
import { shardOf } from '@halley/store/shard';
import { Webhook } from 'standardwebhooks';

import { message, RECEIPTS, SEND, SENT, tokenOf } from '../conformance/suite/version2/stage.js';
import { HalleyProcess, targetAt } from '../harness/halley-process.js';
import { HttpApi } from '../harness/http.js';
import { freePortOffset, PORTS } from '../harness/ports.js';
import { newKey, newMid, newOp } from '../harness/unique.js';
import { Version2Client } from '../harness/version2/client.js';
import { type Told, WebhookEndpoint } from '../harness/webhook-endpoint.js';
import { eventually } from '../harness/within.js';

const SOON_MS = 20_000;
const JWT_SECRET = 'hooks.test.ts hooks.test.ts hooks.test.ts';
/** Events of one user on Kafka, and users. */
const EVENTS = 30;
const USERS = 8;

describe('a started server whose endpoint fails, hangs and comes back, killed in between', () => {
  let endpoint: WebhookEndpoint;
  let decider: Server;
  let dir: string;
  let offset: number;
  let halley: HalleyProcess;
  const op = newOp();

  const start = async (): Promise<void> => {
    const endpoints = [
      { name: 'shop', url: endpoint.url, secrets: [endpoint.secret], kinds: [...EVENT_KINDS, 'upstream'] },
    ];
    halley = await HalleyProcess.start(
      [
        'start',
        `--port-offset=${offset}`,
        `--data-dir=${path.join(dir, 'data')}`,
        '--auth.mode=jwt',
        `--auth.jwt.secret=${JWT_SECRET}`,
        `--hooks.sendUrl=http://127.0.0.1:${(decider.address() as AddressInfo).port}/may-send`,
        `--hooks.sendSecrets=${endpoint.secret}`,
        `--events.kinds=${EVENT_KINDS.join(',')}`,
        `--webhook.endpoints=${JSON.stringify(endpoints)}`,
        '--webhook.timeoutMs=300',
        '--webhook.baseBackoffMs=20',
        '--webhook.maxBackoffMs=200',
      ],
      { cwd: dir },
    );
  };

  beforeAll(async () => {
    endpoint = await WebhookEndpoint.start();
    decider = decideBy(endpoint.secret, ({ body }) => body === 'please');
    await once(decider, 'listening');
    dir = await mkdtemp(path.join(os.tmpdir(), 'halley-hooks-'));
    offset = await freePortOffset();
  });
  afterAll(async () => {
    await halley?.kill();
    endpoint.stop();
    decider.closeAllConnections();
    decider.close();
    await rm(dir, { recursive: true, force: true });
  });

  /** Of all nodes. */
  const written = async (): Promise<number> => {
    const pages = await Promise.all(
      [PORTS.logicOps, PORTS.jobOps].map(async (port) => {
        const ops = new HttpApi(`http://127.0.0.1:${port + offset}`);
        return (await ops.get('/metrics')).text;
      }),
    );
    const counts = pages.join('\n').matchAll(/^halley_events_written_total\{.*\} (\d+)$/gm);
    return [...counts].reduce((sum, [, count]) => sum + Number(count), 0);
  };
  const typesOf = (told: readonly Told[]): string[] => told.map(({ type }) => type);

  test('each event arrives signed, in order for its user, with the same id as often as it is sent', async () => {
    endpoint.mood = 'fail';
    await start();
    const target = targetAt(offset);
    const [ann, bob, away] = [newMid(), newMid(), newMid()];
    const keys = [newKey(), newKey()] as const;
    const open = async (mid: bigint, key: string, rights = {}): Promise<Version2Client> => {
      const token = tokenOf({ mid, key, accepts: [op], platform: 'web', ...rights }, JWT_SECRET);
      return (await Version2Client.connect('ws', target)).open(token);
    };
    const annClient = await open(ann, keys[0]);
    const bobClient = await open(bob, keys[1], { send_users: false });
    const toAnn = { toMid: String(ann) as never };
    const refused = await bobClient.refused(SEND, message(toAnn, 'spam', op));
    expect(refused).toMatchObject({ code: 'send_not_granted', text: 'spam is not taken' });
    const inbox = `u/${bob}`;
    const sent = await annClient.ask(SEND, message({ toMid: String(bob) as never }, 'hello', op), SENT);
    const [shown] = await bobClient.shown(inbox, 1);
    const cursor = { stream: inbox, epoch: shown!.epoch, position: shown!.position };
    bobClient.ack(cursor);
    await bobClient.ask(RECEIPTS, { positions: [cursor] }, RECEIPTS);
    await annClient.ask(SEND, message({ room: '' }, 'to the business', op), SENT);
    const api = new HttpApi(target.logicHttp);
    const push = (mids: bigint[], body: string): Promise<unknown> =>
      api.post('/goim/push/mids', { operation: op, mids }, body);
    await push([ann, away], 'news');
    expect(await bobClient.ask(SEND, message(toAnn, 'please', op), SENT)).toMatchObject({ duplicate: false });
    bobClient.close();
    // connected and message_in twice, read, delivered, disconnected, offline.
    expect(await eventually(written, (count) => count >= 8, SOON_MS, 50)).toBe(8);
    endpoint.mood = 'hang';
    await eventually(
      () => endpoint.attempts.length,
      (count) => count > 5,
      SOON_MS,
      20,
    );
    await halley.kill();
    endpoint.mood = 'reset';
    await start();
    const before = endpoint.attempts.length;
    await eventually(
      () => endpoint.attempts.length,
      (count) => count > before,
      SOON_MS,
      20,
    );
    expect(endpoint.taken).toEqual([]);
    endpoint.mood = 'take';
    const isThere = (mid: bigint, type: string) => typesOf(endpoint.takenOf(mid)).includes(type);
    await eventually(
      () =>
        isThere(bob, 'disconnected') &&
        isThere(away, 'offline') &&
        isThere(ann, 'message_in') &&
        isThere(ann, 'upstream'),
      Boolean,
      SOON_MS,
      20,
    );
    annClient.close();
    api.close();

    const ofAnn = endpoint.takenOf(ann);
    // A job that takes over finds that Ann and Bob are gone by now.
    const ofBob = endpoint.takenOf(bob).filter(({ type }) => type !== 'offline');
    // What clients say to the business is in another topic.
    const own = ofAnn.filter(({ type }) => type !== 'upstream' && type !== 'offline');
    expect(typesOf(own)).toEqual(['connected', 'message_in']);
    const types = typesOf(ofBob);
    expect([types[0], types.slice(1, -1).toSorted(), types.at(-1)]).toEqual([
      'connected',
      ['delivered', 'message_in', 'read'],
      'disconnected',
    ]);
    expect(typesOf(endpoint.takenOf(away))).toEqual(['offline']);
    expect(endpoint.breaches).toEqual([]);
    // However often it came, an id says the same; only what was found out again may have another time.
    const bodies = new Map<string, Set<string>>();
    for (const { taken: _, timestamp: _at, ...told } of endpoint.attempts)
      bodies.set(told.id, (bodies.get(told.id) ?? new Set()).add(JSON.stringify(told)));
    expect([...bodies.values()].every(({ size }) => size === 1)).toBe(true);
    expect(endpoint.attempts.length).toBeGreaterThan(endpoint.taken.length);

    const of = (told: readonly Told[], type: string) => told.find((one) => one.type === type)?.data;
    const connection = of(ofBob, 'connected')?.['connection'];
    expect(of(ofBob, 'connected')).toMatchObject({
      key: keys[1],
      transport: 'websocket',
      platform: 'web',
      version: 2,
    });
    expect(of(ofBob, 'disconnected')).toMatchObject({ connection, code: 0, reason: '' });
    expect(of(ofBob, 'delivered')).toMatchObject(cursor);
    expect(of(ofBob, 'read')).toMatchObject(cursor);
    const hello = Buffer.from('hello').toString('base64');
    expect(of(ofAnn, 'message_in')).toMatchObject({
      message_id: sent.id,
      to_mid: String(bob),
      operation: op,
      body: hello,
      stream: `u/${ann}`,
    });
    expect(of(ofAnn, 'upstream')).toMatchObject({
      operation: op,
      body: Buffer.from('to the business').toString('base64'),
    });
    expect(of(endpoint.takenOf(away), 'offline')).toMatchObject({
      operation: op,
      body: Buffer.from('news').toString('base64'),
      stream: `u/${away}`,
    });
    expect(annClient.breaches.concat(bobClient.breaches)).toEqual([]);
  }, 90_000);
});

/** Answers whether a client may send a message, when asked with this secret. */
function decideBy(secret: string, allows: (asked: { readonly body: string }) => boolean): Server {
  const server = createServer((request, response) => {
    void (async () => {
      const text = await textOf(request);
      const { data } = new Webhook(secret).verify(text, request.headers as Record<string, string>) as Told;
      const body = Buffer.from(String(data['body']), 'base64').toString();
      response.end(JSON.stringify({ allow: allows({ body }), reason: `${body} is not taken` }));
    })();
  });
  return server.listen(0, '127.0.0.1');
}

describe('on Kafka', () => {
  let bus: KafkaBus;
  let endpoint: WebhookEndpoint;
  beforeAll(async () => {
    endpoint = await WebhookEndpoint.start(1);
    bus = new KafkaBus({
      config: busConfig.parse({
        brokers: [process.env['HALLEY_TEST_KAFKA'] ?? 'HALLEY_TEST_KAFKA is not set'],
      }),
      log: silentLogger(),
      clock: systemClock,
      topics: [Topic.Events, Topic.Dead].map((name) => ({ name, partitions: 4, frozen: false })),
    });
    await bus.start();
  });
  afterAll(async () => {
    await bus.stop(2_000);
    endpoint.stop();
  });

  test('what one job has not brought to the endpoint another one brings, in order for each user', async () => {
    const name = `test-${randomUUID().slice(0, 8)}`;
    const config = webhookConfig.parse({
      endpoints: [{ name, url: endpoint.url, secrets: [endpoint.secret], kinds: ['read'] }],
      baseBackoffMs: 20,
      maxBackoffMs: 100,
      timeoutMs: 5_000,
    });
    const job = async (): Promise<Webhooks> => {
      const shared = { bus, config, clock: systemClock, log: silentLogger() };
      const deadLetters = { write: async () => true };
      const webhooks = new Webhooks({ ...shared, deadLetters, metrics: new Metrics({ process: false }) });
      await webhooks.start();
      return webhooks;
    };
    const mids = Array.from({ length: USERS }, newMid);
    const partitions = bus.partitions(Topic.Events);
    const records = mids.flatMap((mid): BusRecord[] =>
      Array.from({ length: EVENTS }, (_, position) => ({
        key: String(mid),
        partition: shardOf(`u/${mid}`, partitions),
        value: eventCodec.encode({
          id: `read-${mid}-${position}`,
          mid: String(mid),
          at_ms: Date.now(),
          read: { stream: `u/${mid}`, position },
        }),
      })),
    );
    const first = await job();
    await bus.produce(Topic.Events, records);
    await eventually(
      () => endpoint.taken.length,
      (count) => count >= 20,
      SOON_MS,
      5,
    );
    endpoint.mood = 'fail';
    await first.stop(200);
    const second = await job();
    endpoint.mood = 'take';
    const positions = (mid: bigint) => endpoint.takenOf(mid).map(({ data }) => data['position']);
    await eventually(() => mids.every((mid) => positions(mid).length === EVENTS), Boolean, SOON_MS, 50);
    await second.stop(1_000);
    for (const mid of mids) expect(positions(mid)).toEqual(Array.from({ length: EVENTS }, (_, at) => at));
    expect(endpoint.breaches).toEqual([]);
    expect(await bus.lag(`halley-webhook-${name}`, Topic.Events)).toBe(0);
  }, 60_000);
});

describe('the verifiers of docs/examples tell what is genuine', () => {
  const dir = fileURLToPath(new URL('../../docs/examples/webhook/', import.meta.url));
  const secret = `whsec_${Buffer.alloc(32, 3).toString('base64')}`;
  const page = readFileSync(path.join(dir, '../../hooks.md'), 'utf8');
  const programs = ['verify.mjs', 'verify.py', 'verify.go'] as const;
  const commands = { 'verify.mjs': ['node'], 'verify.py': ['python3'], 'verify.go': ['go', 'run'] } as const;

  test.each(programs)(
    '%s',
    (file) => {
      const [command, ...first] = commands[file];
      const body = '{"type":"read","data":{"mid":"1","text":"é"}}';
      const run = (signed: string, at = new Date()): string => {
        const seconds = String(Math.floor(at.getTime() / 1_000));
        const signatures = `v1,bm90IHRoaXMgb25l ${new Webhook(secret).sign('read-1', at, signed)}`;
        const { NODE_OPTIONS: _, ...env } = process.env;
        const args = [...first, path.join(dir, file), 'read-1', seconds, signatures];
        return execFileSync(command, args, {
          env: { ...env, WEBHOOK_SECRET: secret },
          input: body,
          encoding: 'utf8',
        }).trim();
      };
      expect(run(body)).toBe('genuine');
      expect(run(body.replace('1', '2'))).toBe('forged');
      expect(run(body, new Date(Date.now() - 600_000))).toBe('forged');
    },
    60_000,
  );

  test('and are what the page shows', () => {
    for (const [file, language] of [
      ['verify.mjs', 'js'],
      ['verify.py', 'python'],
    ] as const) {
      const [, shown = 'none'] = new RegExp(`\`\`\`${language}\n([^]*?)\`\`\``).exec(page) ?? [];
      expect(readFileSync(path.join(dir, file), 'utf8')).toContain(shown.trim());
    }
  });
});

import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { freePort } from '@halley/services/free-port';
import { startNginx } from '@halley/services/nginx';
import type { RunningService } from '@halley/services/running-service';

import { type ChatWindow, TestBrowser } from '../harness/chat-window.js';
import { startHalley, type StartedHalley } from '../harness/halley-process.js';
import { HttpApi } from '../harness/http.js';

const DEPLOY = fileURLToPath(new URL('../../deploy/nginx/', import.meta.url));

/** What pages have. */
interface Storages {
  readonly sessionStorage: object;
}

let browser: TestBrowser;
let halley: StartedHalley;
let origin = '';
let counter = 0;

beforeAll(async () => {
  [browser, halley] = await Promise.all([
    TestBrowser.start(),
    startHalley(['--proxy.trusted', '127.0.0.1/32']),
  ]);
  origin = `http://${new URL(halley.target.ws).host}`;
  // Chromium is fetched the first time.
}, 600_000);
afterEach(async () => {
  expect(await browser.closeWindows()).toEqual([]);
});
afterAll(async () => {
  await Promise.all([browser?.stop(), halley?.stop()]);
});

/** A name, and a room, that no other test has. */
const fresh = (what: string): string => `${what}-${(counter += 1)}`;

/** A window of somebody in a room, connected. */
async function enter(room: string, as: string, at = origin): Promise<ChatWindow> {
  const window = await browser.open(`${at}/?as=${as}#/room/${room}`);
  await window.connected();
  return window;
}

/** Two who know each other, in a room of their own. */
async function pair(
  at?: string,
): Promise<{ alice: ChatWindow; bob: ChatWindow; room: string; names: [string, string] }> {
  const room = fresh('room');
  const names: [string, string] = [fresh('Alice'), fresh('Bob')];
  const [alice, bob] = await Promise.all(names.map((name) => enter(room, name, at)));
  if (!alice || !bob) throw new Error('no windows');
  await Promise.all([alice.entry(names[1]).waitFor(), bob.entry(names[0]).waitFor()]);
  return { alice, bob, room, names };
}

describe('from halley start', () => {
  test('two people chat: each message once, in order, as text, with ticks when it is read', async () => {
    const { alice, bob, names } = await pair();
    expect(await alice.transport()).toBe('WebSocket');
    const html = '<img src=x onerror="document.title=1"> & <b>bold</b>';
    await alice.say('one', 'two', html);
    await bob.shows(html);
    await bob.say('three', 'four');
    await alice.shows('four');
    const said = ['one', 'two', html, 'three', 'four'];
    const { length } = said;
    expect([await alice.texts(length), await bob.texts(length)]).toEqual([said, said]);
    expect([await alice.tick(html, 'read'), await bob.tick('four', 'read')]).toEqual(['read', 'read']);
    expect(await alice.message(html).locator('.below').innerText()).toBe(`Read by ${names[1]}`);
  });

  test('typing, presence and what is unread are seen', async () => {
    const { alice, bob, room, names } = await pair();
    await alice.page.locator('.lists a[data-presence="online"]', { hasText: names[1] }).waitFor();
    await bob.page.locator('textarea').pressSequentially('hm');
    await alice.page.getByText(`${names[1]} is typing`).waitFor();
    await bob.say('done');
    await alice.shows('done');
    expect(await alice.page.locator('.typing.on').count()).toBe(0);

    await bob.entry('random').click();
    await alice.say('are you there?');
    await bob.entry(room).locator('.unread', { hasText: '1' }).waitFor();
    expect(await alice.tick('are you there?', 'sent')).toBe('sent');
    await bob.entry(room).click();
    expect(await alice.tick('are you there?', 'read')).toBe('read');

    await bob.page.context().close();
    await alice.page.locator('.lists a[data-presence="offline"]', { hasText: names[1] }).waitFor();
  });

  test('who comes later sees who is there, and a text that is too long is told, not cut', async () => {
    const { alice, bob, room, names } = await pair();
    await alice.say('before Carol');
    await bob.shows('before Carol');
    await bob.say('so early');
    const carol = await enter(room, fresh('Carol'));
    for (const name of names) {
      await carol.page.locator('.lists a[data-presence="online"]', { hasText: name }).waitFor();
    }
    const text = carol.page.locator('textarea');
    await text.fill('x'.repeat(1_001));
    await text.press('Enter');
    await carol.page.getByText('1 too many').waitFor();
    await text.press('Backspace');
    await text.press('Enter');
    await alice.shows('x'.repeat(1_000));
    expect((await alice.texts()).map(({ length }) => length)).toEqual([12, 8, 1_000]);
  });

  test('a direct message: sent while the other is away, delivered, read; and what the server pushes is shown', async () => {
    const { alice, bob, room, names } = await pair();
    await alice.entry(names[1]).click();
    await alice.say('between us');
    await bob.entry(names[0]).locator('.unread', { hasText: '1' }).waitFor();
    expect(await alice.tick('between us', 'delivered')).toBe('delivered');
    await bob.entry(names[0]).click();
    await bob.shows('between us');
    expect(await alice.tick('between us', 'read')).toBe('read');
    await bob.say('and back');
    await alice.shows('and back');

    // Nobody else has it, and both still do when they come again.
    await Promise.all([alice.page.reload(), bob.page.reload()]);
    await Promise.all([alice.shows('and back'), bob.shows('and back')]);
    expect([await alice.texts(2), await bob.texts(2)]).toEqual([
      ['between us', 'and back'],
      ['between us', 'and back'],
    ]);
    expect(await alice.tick('between us', 'read')).toBe('read');

    const http = new HttpApi(halley.target.logicHttp);
    const query = { operation: 1000, type: 'chat', room };
    expect((await http.post('/goim/push/room', query, Buffer.from('from a shell'))).status).toBe(200);
    await alice.entry(room).click();
    await alice.shows('from a shell');
    http.close();
  });

  test('older messages come as one scrolls back, and what is read stays where it is', async () => {
    const room = fresh('room');
    const http = new HttpApi(halley.target.logicHttp);
    const count = 80;
    const expected = Array.from({ length: count }, (_, at) => `line ${at + 1}`);
    for (const text of expected) {
      await http.post('/goim/push/room', { operation: 1000, type: 'chat', room }, Buffer.from(text));
    }
    http.close();
    const alice = await enter(room, fresh('Alice'));
    await alice.shows('line 80');
    const scroller = alice.page.locator('.scroller');
    let shown = await alice.texts();
    expect(shown.length).toBeLessThan(count);
    while (shown.length < count) {
      const [first = ''] = shown;
      // What is in sight does not move while older messages come above it.
      const top = (): Promise<number> =>
        alice.message(first).evaluate((element) => element.getBoundingClientRect().top);
      await scroller.evaluate((element) => (element.scrollTop = 120));
      const before = await top();
      const had = shown.length;
      shown = await alice.texts(had + 1);
      expect(Math.abs((await top()) - before)).toBeLessThan(20);
    }
    expect(shown).toEqual(expected);
    await alice.page.getByText(`This is where #${room} begins.`).waitFor();
  });

  test('a reload goes on without loss or repeat, also with what was being sent', async () => {
    const { alice, bob } = await pair();
    await alice.say('before');
    await bob.shows('before');
    await bob.page.context().setOffline(true);
    await bob.page.reload().catch(() => undefined);
    await alice.say('meanwhile 1', 'meanwhile 2');
    await bob.page.context().setOffline(false);
    await bob.page.reload();
    await bob.shows('meanwhile 2');
    expect(await bob.texts(3)).toEqual(['before', 'meanwhile 1', 'meanwhile 2']);

    // What was not answered yet is sent again, and comes once.
    await bob.say('last');
    await bob.page.reload();
    await alice.shows('last');
    await bob.shows('last');
    expect(await bob.tick('last', 'read')).toBe('read');
    expect((await alice.texts()).filter((text) => text === 'last')).toEqual(['last']);
  });

  test('the page is dark where the system is, and where it is chosen', async () => {
    const colour = (window: ChatWindow): Promise<string> =>
      window.page
        .locator('body')
        .evaluate((body) => body.ownerDocument.defaultView?.getComputedStyle(body).backgroundColor ?? '');
    const dark = await browser.open(`${origin}/?as=Dora`, { colorScheme: 'dark' });
    const light = await browser.open(`${origin}/?as=Lou`, { colorScheme: 'light' });
    await Promise.all([dark.connected(), light.connected()]);
    const [night, day] = [await colour(dark), await colour(light)];
    expect(night).not.toBe(day);
    const theme = light.page.locator('.sidebar footer button');
    await theme.click();
    expect(await colour(light)).toBe(day);
    await theme.click();
    expect(await colour(light)).toBe(night);
    await light.page.reload();
    await light.connected();
    expect(await colour(light)).toBe(night);
  });

  test('on a phone the list and a conversation take turns', async () => {
    const phone = await browser.open(`${origin}/?as=Pat`, {
      viewport: { width: 390, height: 780 },
      hasTouch: true,
    });
    await phone.entry('lobby').waitFor();
    expect(await phone.page.locator('main').isVisible()).toBe(false);
    await phone.entry('lobby').click();
    await phone.connected();
    await phone.page.locator('.sidebar').waitFor({ state: 'hidden' });
    await phone.page.getByRole('link', { name: 'All conversations' }).click();
    await phone.page.locator('.sidebar').waitFor();
    expect(await phone.page.locator('main').isVisible()).toBe(false);
  });

  test('whoever gives no name is asked for one; a copy of a window is told that it is one', async () => {
    const name = fresh('Nina');
    const first = await browser.open(`${origin}/?as=`);
    await first.page.getByLabel('Your name').fill(name);
    await first.page.keyboard.press('Enter');
    await first.connected();
    await first.page.reload();
    await first.page.locator('.me', { hasText: name }).waitFor();
    await first.connected();

    const kept = await first.page.evaluate(() =>
      JSON.stringify((globalThis as unknown as Storages).sessionStorage),
    );
    const copy = await first.page.context().newPage();
    await copy.goto(`${origin}/icon.svg`);
    await copy.evaluate((values) => {
      Object.assign((globalThis as unknown as Storages).sessionStorage, JSON.parse(values));
    }, kept);
    await copy.goto(origin);
    await copy.locator('.connection[data-state="connected"]').waitFor();
    await first.page.getByRole('button', { name: 'Use this one too' }).click();
    await first.connected();
    expect(await copy.locator('.connection').getAttribute('data-state')).toBe('connected');
  });

  test('another transport is chosen in the midst of it', async () => {
    const { alice, bob } = await pair();
    for (const [wish, title] of [
      ['sse', 'Server-sent events'],
      ['poll', 'Long polling'],
      ['websocket', 'WebSocket'],
    ]) {
      await alice.page.locator('.pill').press('Enter');
      while ((await alice.page.locator(':focus').getAttribute('data-wish')) !== wish) {
        await alice.page.keyboard.press('ArrowDown');
      }
      await alice.page.keyboard.press('Enter');
      await alice.page.locator('.pill .words', { hasText: title ?? '' }).waitFor();
      await alice.say(`by ${wish}`);
      await bob.say(`and back, by ${wish}`);
      await alice.shows(`and back, by ${wish}`);
    }
    await bob.shows('by websocket');
    expect((await bob.texts()).filter((text) => text.startsWith('by'))).toEqual([
      'by sse',
      'by poll',
      'by websocket',
    ]);
  });
});

describe('behind the real nginx', () => {
  let dir: string;
  const started: RunningService[] = [];

  beforeAll(async () => {
    dir = await mkdtemp(path.join(os.tmpdir(), 'halley-browser-nginx-'));
  });
  afterAll(async () => {
    await Promise.all(started.map((nginx) => nginx.stop()));
    await rm(dir, { recursive: true, force: true });
  });

  /** deploy/nginx as it is, but for ports, the path of its modules, and paths that are refused. */
  async function nginxOn(wsPort: number, closed: readonly string[]): Promise<RunningService> {
    const folder = path.join(dir, `${wsPort}`);
    const upstream = new URL(halley.target.ws).host;
    const tcpPort = await freePort();
    const refused = closed.map((at) => `if ($uri = ${at}) { return 403; }`).join(' ');
    const config = (await readFile(path.join(DEPLOY, 'nginx.conf'), 'utf8'))
      .replace('include /etc/nginx/modules-enabled/*.conf;', 'load_module modules/ngx_stream_module.so;')
      .replace('listen 3101;', `listen 127.0.0.1:${tcpPort};`)
      .replace('listen 3102;', `listen 127.0.0.1:${wsPort}; ${refused}`);
    await mkdir(folder, { recursive: true });
    await writeFile(path.join(folder, 'tcp-comets.conf'), `server ${halley.target.tcp};\n`);
    await writeFile(path.join(folder, 'ws-comets.conf'), `server ${upstream};\n`);
    const nginx = await startNginx({ dir: folder, config, ports: [wsPort, tcpPort] });
    started.push(nginx);
    return nginx;
  }

  test.each([
    ['WebSocket', []],
    ['Server-sent events', ['/sub']],
    ['Long polling', ['/sub', '/sse']],
  ])('two people chat by %s', async (transport, closed) => {
    const port = await freePort();
    await nginxOn(port, closed);
    const { alice, bob } = await pair(`http://127.0.0.1:${port}`);
    expect([await alice.transport(), await bob.transport()]).toEqual([transport, transport]);
    await alice.say('one', 'two');
    await bob.shows('two');
    await bob.say('three');
    await alice.shows('three');
    const said = ['one', 'two', 'three'];
    const { length } = said;
    expect([await alice.texts(length), await bob.texts(length)]).toEqual([said, said]);
    expect(await bob.tick('three', 'read')).toBe('read');
    if (closed.length === 0) return;
    // What does not get through is told, and changes nothing.
    await alice.page.locator('.pill').click();
    await alice.page.locator('[data-wish="websocket"]').click();
    await alice.page.locator('.banner').getByText('Going on as before.').waitFor();
    expect(await alice.transport()).toBe(transport);
  });

  test('without a connection it says so, and what was written goes out when it is back, once', async () => {
    const port = await freePort();
    const nginx = await nginxOn(port, []);
    const at = `http://127.0.0.1:${port}`;
    const room = fresh('room');
    const [alice, bob] = await Promise.all([enter(room, fresh('Alice'), at), enter(room, fresh('Bob'))]);
    await alice.say('before');
    await bob.shows('before');
    await nginx.stop();
    const banner = alice.page.locator('.banner');
    await banner.getByText(/^ Trying again/).waitFor();
    await alice.say('into the void 1', 'into the void 2');
    await bob.say('meanwhile');
    expect(await alice.tick('into the void 2', 'sending')).toBe('sending');
    await nginxOn(port, []);
    await banner
      .getByRole('button', { name: 'Try now' })
      .click({ timeout: 2_000 })
      .catch(() => undefined);
    await banner.waitFor({ state: 'hidden' });
    await bob.shows('into the void 2');
    expect(await alice.tick('into the void 2', 'read')).toBe('read');
    const said = ['before', 'meanwhile', 'into the void 1', 'into the void 2'];
    const { length } = said;
    expect([await alice.texts(length), await bob.texts(length)]).toEqual([said, said]);
  });
});

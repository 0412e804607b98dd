// Takes docs/images/chat.png: the chat page from a start of its own, in two windows side by side. After `npm run build`:
//   node scripts/docs/chat-screenshot.mjs [FILE]
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

import { chromium as fetchChromium } from '@halley/services/chromium';
import { chromium } from 'playwright-core';

const at = (place) => fileURLToPath(new URL(`../../${place}`, import.meta.url));
const file = process.argv[2] ?? at('docs/images/chat.png');
const PORT_OFFSET = 11_700;
const SIZE = { width: 760, height: 664 };

const dir = await mkdtemp(path.join(os.tmpdir(), 'halley-screenshot-'));
const server = spawn(
  process.execPath,
  [
    at('packages/cli/bin/halley.js'),
    'start',
    '--port-offset',
    String(PORT_OFFSET),
    '--data-dir',
    path.join(dir, 'data'),
  ],
  { cwd: dir, stdio: ['ignore', 'pipe', 'inherit'] },
);
await new Promise((resolve, reject) => {
  server.stdout.on('data', (chunk) => /Halley is ready/.test(chunk) && resolve());
  server.once('exit', (code) => reject(new Error(`halley start ended with ${code}`)));
});
const { executablePath, args, env } = await fetchChromium({
  dir,
  progress: (line) => process.stderr.write(`${line}\n`),
});
const browser = await chromium.launch({ executablePath, args: [...args], env: { ...env } });

/** A window of somebody in the room. */
async function open(name, colorScheme, query = '') {
  const context = await browser.newContext({
    viewport: SIZE,
    deviceScaleFactor: 2,
    colorScheme,
    locale: 'en-GB',
  });
  const page = await context.newPage();
  await page.goto(`http://127.0.0.1:${3102 + PORT_OFFSET}/?as=${name}${query}#/room/launch`);
  await page.locator('[data-state="connected"]').waitFor();
  return page;
}

async function say(page, text, everybody) {
  await page.locator('textarea').fill(text);
  await page.locator('textarea').press('Enter');
  await Promise.all(everybody.map((one) => one.locator('.said').getByText(text, { exact: true }).waitFor()));
}

try {
  const [alice, bob, carol] = await Promise.all([
    open('Alice', 'light'),
    open('Bob', 'dark', '&transport=sse'),
    open('Carol', 'light'),
  ]);
  const all = [alice, bob, carol];
  await Promise.all(all.map((page) => page.locator('[data-presence="online"]').nth(1).waitFor()));
  await say(carol, 'The page is up. Open it twice and talk to yourself.', all);
  await say(bob, 'Does it survive the train?', all);
  await say(alice, 'Pull the plug and see: it goes on where it stopped.', all);
  await say(alice, 'Nothing lost, nothing twice.', all);
  await say(
    bob,
    'I am behind the proxy that eats WebSockets. It found another way, and nobody noticed.',
    all,
  );
  await say(alice, 'Then we ship it.', all);
  await carol.locator('.lists .title').getByText('Alice', { exact: true }).click();
  await carol.getByRole('heading', { name: 'Alice' }).waitFor();
  await carol.locator('textarea').fill('Lunch at noon?');
  await carol.locator('textarea').press('Enter');
  await alice.locator('.lists .unread', { hasText: '1' }).waitFor();
  await alice.locator('[data-tick="read"]').nth(2).waitFor();
  await bob.locator('textarea').pressSequentially('Shipping');
  await alice.locator('.typing.on').waitFor();
  await alice.waitForTimeout(500);
  const shots = await Promise.all([alice, bob].map((page) => page.screenshot({ type: 'png' })));

  const together = await browser.newPage({
    viewport: { width: 1_600, height: 744 },
    deviceScaleFactor: 1.25,
  });
  const images = shots.map((shot) => `<img src="data:image/png;base64,${shot.toString('base64')}">`).join('');
  await together.setContent(
    `<style>
      body { margin: 0; padding: 34px 28px; display: flex; gap: 24px; justify-content: center; background: transparent }
      img { width: ${SIZE.width}px; border-radius: 14px; box-shadow: 0 10px 28px #0b0c1240, 0 0 0 1px #0b0c1226 }
    </style>${images}`,
  );
  await together.screenshot({ path: file, omitBackground: true });
  process.stdout.write(`${file}\n`);
} finally {
  await browser.close();
  server.kill('SIGTERM');
  await once(server, 'exit');
  await rm(dir, { recursive: true, force: true });
}

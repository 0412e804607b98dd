import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';

import { chromium as fetchChromium } from '@halley/services/chromium';
import { chromium, type Browser, type BrowserContextOptions, type Locator, type Page } from 'playwright-core';

import { eventually } from './within.js';

/** How long the page may take for something that it does at once. */
const SOON_MS = 10_000;

/** The one Chromium of a test file. */
export class TestBrowser {
  readonly windows: ChatWindow[] = [];

  private constructor(
    private readonly browser: Browser,
    private readonly dir: string,
  ) {}

  /** Throws when there is no Chromium, or it does not run: nothing is skipped. */
  static async start(): Promise<TestBrowser> {
    const dir = await mkdtemp(path.join(os.tmpdir(), 'halley-browser-'));
    const progress = (line: string): void => void process.stderr.write(`${line}\n`);
    const { executablePath, args, env } = await fetchChromium({ dir, progress });
    const browser = await chromium.launch({ executablePath, args: [...args], env: { ...env } });
    return new TestBrowser(browser, dir);
  }

  /** A window with a storage of its own, at a page of the chat. */
  async open(url: string, options: BrowserContextOptions = {}): Promise<ChatWindow> {
    const context = await this.browser.newContext({ viewport: { width: 1_000, height: 680 }, ...options });
    context.setDefaultTimeout(SOON_MS);
    const window = new ChatWindow(await context.newPage());
    this.windows.push(window);
    await window.page.goto(url);
    return window;
  }

  /** Closes the windows; answers what went wrong in them. */
  async closeWindows(): Promise<string[]> {
    const windows = this.windows.splice(0);
    await Promise.all(windows.map(({ page }) => page.context().close()));
    return windows.flatMap(({ faults }) => faults);
  }

  async stop(): Promise<void> {
    await this.browser.close();
    await rm(this.dir, { recursive: true, force: true });
  }
}

/** The chat page as somebody sees it. */
export class ChatWindow {
  /** Errors of the page: those that nobody caught, and what breaks its content security policy. */
  readonly faults: string[] = [];

  constructor(readonly page: Page) {
    page.on('pageerror', (error) => this.faults.push(error.message));
    page.on('console', (message) => {
      if (/Content Security Policy|Trusted ?Type/i.test(message.text())) this.faults.push(message.text());
    });
  }

  /** Waits until it is connected; answers by which transport. */
  async connected(): Promise<string> {
    await this.page.locator('.connection[data-state="connected"]').waitFor();
    return this.transport();
  }

  /** The transport that the page shows. */
  transport(): Promise<string> {
    return this.page.locator('.pill .words').innerText();
  }

  async say(...texts: readonly string[]): Promise<void> {
    for (const text of texts) {
      await this.page.locator('textarea').fill(text);
      await this.page.locator('textarea').press('Enter');
    }
  }

  /** A message by its text. */
  message(text: string): Locator {
    return this.page.locator('.said', { has: this.page.getByText(text, { exact: true }) });
  }

  /** Waits until a message is shown. */
  async shows(text: string): Promise<void> {
    await this.message(text).first().waitFor();
  }

  /** All that is shown of the open conversation, oldest first, once there are so many. */
  texts(atLeast = 0): Promise<string[]> {
    return eventually(
      () => this.page.locator('.said .text').allInnerTexts(),
      ({ length }) => length >= atLeast,
      SOON_MS,
      30,
    );
  }

  /** How far an own message has come: waits until it is that, answers what it is. */
  async tick(text: string, wanted: string): Promise<string | null> {
    return eventually(
      () => this.message(text).getAttribute('data-tick'),
      (tick) => tick === wanted,
      SOON_MS,
      50,
    );
  }

  /** A conversation in the list, by its title. */
  entry(title: string): Locator {
    const name = this.page.locator('.title').getByText(title, { exact: true });
    return this.page.locator('.lists a', { has: name });
  }
}

import { Banner } from './banner.js';
import { Composer } from './composer.js';
import { el } from './dom.js';
import { Header } from './header.js';
import { Messages } from './messages.js';
import { type Page, titleOf, type View } from './page.js';
import { conversationAt } from './route.js';
import { Sidebar } from './sidebar.js';

/** The whole page: conversations at the side, the open one beside them; on a phone one of the two. */
export class App implements View {
  readonly element: HTMLElement;
  readonly #parts: readonly View[];

  constructor(private readonly page: Page) {
    const sidebar = new Sidebar(page);
    const header = new Header(page);
    const banner = new Banner(page);
    const messages = new Messages(page);
    const composer = new Composer(page);
    this.#parts = [sidebar, header, banner, composer, messages];
    const parts = [header, banner, messages, composer].map(({ element }) => element);
    this.element = el('div', { className: 'app' }, sidebar.element, el('main', {}, ...parts));
    addEventListener('hashchange', () => this.#route());
    page.chat.onChange(() => this.update());
    this.#route();
  }

  update(): void {
    for (const part of this.#parts) part.update();
    const { chat } = this.page;
    const unread = [...chat.conversations.values()].reduce((sum, one) => sum + one.unread.count, 0);
    const title = chat.active ? titleOf(this.page, chat.active) : 'Chat';
    document.title = `${unread > 0 ? `(${unread}) ` : ''}${title} · Halley`;
  }

  /** Without an address the first room is open; a phone shows the list. */
  #route(): void {
    const { chat } = this.page;
    const named = conversationAt(this.page, location.hash);
    chat.active = named ?? chat.rooms[0];
    this.element.dataset['open'] = String(named !== undefined);
    chat.changed();
  }
}

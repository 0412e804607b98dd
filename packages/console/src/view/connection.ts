import type { Connection } from '../model/chat.js';
import { TRANSPORT_TITLES, type TransportWish } from '../session/transports.js';
import { el, setAttribute, setText } from './dom.js';
import { icon } from './icons.js';
import type { Page, View } from './page.js';

const WISHES: readonly (readonly [TransportWish, string, string])[] = [
  ['auto', 'Automatic', 'the best that gets through'],
  ['websocket', TRANSPORT_TITLES.websocket, 'both ways at once'],
  ['sse', TRANSPORT_TITLES.sse, 'a stream down, requests up'],
  ['poll', TRANSPORT_TITLES.poll, 'requests only'],
];

/** How the page is connected, and a menu to have it otherwise. */
export class ConnectionPill implements View {
  readonly element: HTMLElement;
  readonly #button: HTMLButtonElement;
  readonly #words = el('span', { className: 'words' });
  readonly #menu: HTMLElement;
  readonly #items: ReadonlyMap<TransportWish, HTMLElement>;

  constructor(private readonly page: Page) {
    this.#items = new Map(
      WISHES.map(([wish, title, what]) => [
        wish,
        el(
          'button',
          {
            type: 'button',
            onclick: () => this.#choose(wish),
            attributes: { role: 'menuitemradio', 'data-wish': wish },
          },
          icon('check'),
          el('span', {}, el('b', {}, title), el('small', {}, what)),
        ),
      ]),
    );
    this.#menu = el(
      'div',
      { className: 'menu', hidden: true, attributes: { role: 'menu', 'aria-label': 'Transport' } },
      ...this.#items.values(),
    );
    this.#button = el(
      'button',
      {
        type: 'button',
        className: 'pill',
        onclick: () => this.#toggle(Boolean(this.#menu.hidden)),
        attributes: { 'aria-haspopup': 'menu', 'aria-expanded': 'false' },
      },
      el('span', { className: 'dot' }),
      el('span', { className: 'hidden' }, 'Connection: '),
      this.#words,
      icon('chevron'),
    );
    this.element = el('div', { className: 'connection' }, this.#button, this.#menu);
    this.element.addEventListener('keydown', (event) => this.#key(event));
    document.addEventListener('click', ({ target }) => {
      if (!this.element.contains(target as Node)) this.#toggle(false);
    });
  }

  update(): void {
    const { chat } = this.page;
    setText(this.#words, chat.moving ? 'Moving…' : words(chat.connection));
    setAttribute(this.element, 'data-state', chat.connection.name);
    const { connection } = chat;
    setAttribute(
      this.element,
      'data-transport',
      connection.name === 'connected' ? connection.transport : undefined,
    );
    for (const [wish, item] of this.#items) setAttribute(item, 'aria-checked', String(wish === chat.wish));
  }

  #choose(wish: TransportWish): void {
    this.#toggle(false);
    this.#button.focus();
    void this.page.session.use(wish);
  }

  #toggle(open: boolean): void {
    this.#menu.hidden = !open;
    setAttribute(this.#button, 'aria-expanded', String(open));
    if (open) this.#items.get(this.page.chat.wish)?.focus();
  }

  #key(event: KeyboardEvent): void {
    if (this.#menu.hidden) return;
    if (event.key === 'Escape') {
      this.#toggle(false);
      this.#button.focus();
      return;
    }
    const step = event.key === 'ArrowDown' ? 1 : event.key === 'ArrowUp' ? -1 : 0;
    if (step === 0) return;
    event.preventDefault();
    const items = [...this.#items.values()];
    const at = items.indexOf(document.activeElement as HTMLElement);
    items.at((at + step) % items.length)?.focus();
  }
}

function words(connection: Connection): string {
  switch (connection.name) {
    case 'connected':
      return TRANSPORT_TITLES[connection.transport];
    case 'connecting':
      return 'Connecting…';
    case 'waiting':
      return 'Offline';
    case 'closed':
      return 'Closed';
  }
}

import { ConnectionPill } from './connection.js';
import { el, setText } from './dom.js';
import { icon } from './icons.js';
import { type Page, titleOf, type View } from './page.js';
import { namesText } from './time.js';

/** The open conversation's name, who is there, and the connection. */
export class Header implements View {
  readonly element: HTMLElement;
  readonly #title = el('h2');
  readonly #about = el('p');
  readonly #leave: HTMLButtonElement;
  readonly #connection: ConnectionPill;

  constructor(private readonly page: Page) {
    this.#connection = new ConnectionPill(page);
    this.#leave = el(
      'button',
      {
        type: 'button',
        className: 'quiet round leave',
        title: 'Leave this room',
        onclick: () => this.#leaves(),
      },
      icon('leave'),
      el('span', { className: 'hidden' }, 'Leave this room'),
    );
    this.element = el(
      'header',
      { className: 'header' },
      el(
        'a',
        { className: 'quiet round back', href: '#/' },
        icon('back'),
        el('span', { className: 'hidden' }, 'All conversations'),
      ),
      el('div', { className: 'about' }, this.#title, this.#about),
      this.#connection.element,
      this.#leave,
    );
  }

  update(): void {
    this.#connection.update();
    const { chat } = this.page;
    const { active } = chat;
    if (!active) return;
    const title = titleOf(this.page, active);
    setText(this.#title, active.kind === 'room' ? `# ${title}` : title);
    this.#leave.hidden = active.kind !== 'room' || chat.rooms.length < 2;
    if (active.kind === 'direct') {
      setText(this.#about, chat.people.isOnline(active.target) ? 'Online' : 'Offline');
      return;
    }
    const online = chat.people.mids.filter((mid) => mid !== chat.me.mid && chat.people.isOnline(mid));
    const names = namesText(online.map((mid) => chat.nameOf(mid)).sort());
    const verb = online.length === 1 ? 'is' : 'are';
    setText(this.#about, online.length === 0 ? 'Nobody else is online' : `${names} ${verb} online`);
  }

  #leaves(): void {
    const { active } = this.page.chat;
    if (active) void this.page.session.leave(active);
    location.hash = '#/';
  }
}

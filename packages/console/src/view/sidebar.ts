import type { Conversation } from '../model/conversation.js';
import { chosenTheme, nextTheme, type Theme, useTheme } from '../theme.js';
import { ask } from './ask.js';
import { avatar, renameAvatar } from './avatar.js';
import { el, type Row, Rows, setAttribute, setText } from './dom.js';
import { type Icon, icon } from './icons.js';
import { logo } from './logo.js';
import { type Page, titleOf, type View } from './page.js';
import { hashOf } from './route.js';

const THEME_ICONS: Readonly<Record<Theme, Icon>> = { auto: 'auto', light: 'sun', dark: 'moon' };

/** The rooms and people of the user, with what is unread; below them the user. */
export class Sidebar implements View {
  readonly element: HTMLElement;
  readonly #rooms: Rows<Conversation>;
  readonly #directs: Rows<Conversation>;
  readonly #nobody = el('p', { className: 'nobody' }, 'Open this page as somebody else, in another window.');

  constructor(private readonly page: Page) {
    const { chat, session } = page;
    const rooms = el('ul');
    const directs = el('ul');
    const newRow = (conversation: Conversation): Row<Conversation> => new Entry(page, conversation);
    this.#rooms = new Rows(rooms, ({ key }) => key, newRow);
    this.#directs = new Rows(directs, ({ key }) => key, newRow);
    const openRoom = (): void =>
      ask(
        { title: 'Open a room', label: 'Its name', hint: 'design, plans, lunch…', action: 'Open' },
        (said) => this.#go(session.openRoom(said)),
      );
    const openDirect = (): void =>
      ask({ title: 'Write to somebody', label: 'Their name', hint: 'Bob', action: 'Write' }, (said) =>
        this.#go(session.openDirect(said)),
      );
    this.element = el(
      'nav',
      { className: 'sidebar', attributes: { 'aria-label': 'Conversations' } },
      el('header', {}, logo(), el('h1', {}, 'Halley'), el('span', { className: 'tag' }, 'demo')),
      el(
        'div',
        { className: 'lists' },
        section('Rooms', 'Open a room', openRoom),
        rooms,
        section('People', 'Write to somebody', openDirect),
        directs,
        this.#nobody,
      ),
      el(
        'footer',
        {},
        avatar(chat.me.mid, chat.me.name),
        el('span', { className: 'me' }, chat.me.name),
        themeButton(),
        el('a', { className: 'quiet', href: './?as=', title: 'Be somebody else' }, 'Switch'),
      ),
    );
  }

  update(): void {
    const { chat } = this.page;
    this.#rooms.show(chat.rooms);
    const byName = (a: Conversation, b: Conversation): number =>
      Number(chat.people.isOnline(b.target)) - Number(chat.people.isOnline(a.target)) ||
      titleOf(this.page, a).localeCompare(titleOf(this.page, b));
    const directs = chat.directs.sort(byName);
    this.#directs.show(directs);
    this.#nobody.hidden = directs.length > 0;
  }

  /** False where there is none: the dialog stays, to be corrected. */
  #go(conversation: Conversation | undefined): boolean {
    if (conversation) location.hash = hashOf(this.page, conversation);
    return conversation !== undefined;
  }
}

/** A conversation in the list. */
class Entry implements Row<Conversation> {
  readonly element: HTMLLIElement;
  readonly #link: HTMLAnchorElement;
  readonly #mark: HTMLElement;
  readonly #title = el('span', { className: 'title' });
  readonly #preview = el('span', { className: 'preview' });
  readonly #unread = el('span', { className: 'unread' });
  readonly #presence = el('span', { className: 'hidden' });

  constructor(
    private readonly page: Page,
    { kind, target }: Conversation,
  ) {
    const name = page.chat.nameOf(target);
    this.#mark =
      kind === 'room'
        ? el('span', { className: 'hash', attributes: { 'aria-hidden': 'true' } }, '#')
        : avatar(target, name);
    this.#link = el(
      'a',
      {},
      this.#mark,
      el('span', { className: 'lines-two' }, this.#title, this.#presence, this.#preview),
      this.#unread,
    );
    this.element = el('li', {}, this.#link);
  }

  update(conversation: Conversation): void {
    const { chat } = this.page;
    const { kind, target, unread } = conversation;
    const title = titleOf(this.page, conversation);
    const href = hashOf(this.page, conversation);
    if (this.#link.getAttribute('href') !== href) this.#link.href = href;
    setText(this.#title, title);
    setText(this.#preview, previewOf(conversation));
    if (kind === 'direct') {
      const isOnline = chat.people.isOnline(target);
      renameAvatar(this.#mark, title);
      this.#mark.classList.toggle('online', isOnline);
      this.#mark.classList.toggle('offline', !isOnline);
      setText(this.#presence, isOnline ? ', online' : ', offline');
      setAttribute(this.#link, 'data-presence', isOnline ? 'online' : 'offline');
    }
    setAttribute(this.#link, 'aria-current', chat.active === conversation ? 'page' : undefined);
    this.#link.classList.toggle('has-unread', unread.count > 0);
    setText(this.#unread, unread.count > 0 ? `${unread.count}${unread.more ? '+' : ''}` : '');
    setAttribute(this.#unread, 'aria-label', unread.count > 0 ? `${unread.count} unread` : undefined);
  }
}

/** The last thing said, and by whom where that is not plain. */
function previewOf({ kind, timeline }: Conversation): string {
  const message = timeline.outgoing.at(-1) ?? timeline.newest;
  if (!message) return '';
  const text = message.text.slice(0, 100).replace(/\s+/g, ' ');
  if (message.mine) return `You: ${text}`;
  return kind === 'room' ? `${message.fromName}: ${text}` : text;
}

function section(title: string, action: string, act: () => void): HTMLElement {
  return el(
    'div',
    { className: 'section' },
    el('h2', {}, title),
    el(
      'button',
      { type: 'button', className: 'quiet round', title: action, onclick: act },
      icon('plus'),
      el('span', { className: 'hidden' }, action),
    ),
  );
}

function themeButton(): HTMLElement {
  const words = el('span', { className: 'hidden' });
  const button = el('button', { type: 'button', className: 'quiet round' });
  const show = (theme: Theme): void => {
    useTheme(theme);
    const text = `Theme: ${theme === 'auto' ? 'as the system' : theme}`;
    setText(words, text);
    button.title = text;
    button.replaceChildren(icon(THEME_ICONS[theme]), words);
  };
  button.onclick = () => show(nextTheme(chosenTheme()));
  show(chosenTheme());
  return button;
}

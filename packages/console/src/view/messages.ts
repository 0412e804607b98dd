import type { Conversation } from '../model/conversation.js';
import { Bubble, type BubbleActions } from './bubble.js';
import { el, type Row, Rows, setText } from './dom.js';
import { icon } from './icons.js';
import { type Line, linesOf, type Rule } from './lines.js';
import { type Page, titleOf, type View } from './page.js';

/** From the end: still counts as being there. */
const AT_END_PX = 48;
/** From the beginning: older messages are asked for. */
const NEAR_START_PX = 240;

/** The messages of the open conversation: scrolled to the newest, or held where somebody reads. */
export class Messages implements View {
  readonly element: HTMLElement;
  readonly #scroller: HTMLElement;
  readonly #list = el('div', { className: 'lines', attributes: { role: 'log', 'aria-live': 'polite' } });
  readonly #start = el('p', { className: 'start' });
  readonly #toEnd: HTMLButtonElement;
  readonly #count = el('span', { className: 'count' });
  readonly #rows: Rows<Line>;
  #shown: Conversation | undefined;
  /** Up to where it was read when it was opened, or looked away from; undefined until that is known. */
  #unreadAbove: number | undefined;
  #atEnd = true;

  constructor(private readonly page: Page) {
    const actions: BubbleActions = {
      again: (message) => this.#shown && page.session.sending.again(this.#shown, message),
      drop: (message) => this.#shown && page.session.sending.drop(this.#shown, message),
    };
    this.#rows = new Rows<Line>(
      this.#list,
      ({ key }) => key,
      (line) => (line.kind === 'said' ? (new Bubble(line, actions) as Row<Line>) : ruleRow(line)),
    );
    this.#scroller = el(
      'div',
      { className: 'scroller', tabIndex: 0, attributes: { role: 'region', 'aria-label': 'Messages' } },
      this.#start,
      this.#list,
    );
    this.#scroller.addEventListener('scroll', () => this.#scrolled(), { passive: true });
    this.#toEnd = el(
      'button',
      { type: 'button', className: 'to-end', hidden: true, onclick: () => this.#goToEnd() },
      icon('down'),
      el('span', { className: 'hidden' }, 'To the newest message'),
      this.#count,
    );
    this.element = el('div', { className: 'messages' }, this.#scroller, this.#toEnd);
    document.addEventListener('visibilitychange', () => this.#see());
    // The keyboard of a phone, a composer that grows, a window that is resized: who is at the end stays there.
    new ResizeObserver(() => this.#atEnd && this.#goToEnd()).observe(this.#scroller);
  }

  update(): void {
    const { chat } = this.page;
    const conversation = chat.active;
    if (conversation !== this.#shown) this.#open(conversation);
    if (!conversation) return;
    const anchor = this.#atEnd ? undefined : this.#anchor();
    this.#markUnread(conversation);
    this.#rows.show(
      linesOf(chat, conversation, { unreadAbove: this.#unreadAbove ?? Infinity, nowMs: Date.now() }),
    );
    this.#tellStart(conversation);
    if (anchor) this.#scroller.scrollTop += top(anchor.element) - anchor.top;
    else this.#goToEnd();
    this.#see();
    this.#fill();
    this.#tellEnd();
  }

  #open(conversation: Conversation | undefined): void {
    this.#shown = conversation;
    this.#rows.clear();
    this.#unreadAbove = undefined;
    this.#atEnd = true;
  }

  /** The line above what is new stands where somebody comes back to; what comes as they look needs none. */
  #markUnread({ older, unread, readUpTo, timeline }: Conversation): void {
    if (older === 'none' || (older === 'loading' && timeline.entries.length === 0)) return;
    const hasNew = unread.count > 0 && (this.#unreadAbove === undefined || !this.#isSeen());
    if (timeline.newest?.mine === true || timeline.outgoing.length > 0) this.#unreadAbove = Infinity;
    else if (this.#unreadAbove === undefined || (this.#unreadAbove === Infinity && hasNew)) {
      this.#unreadAbove = hasNew ? readUpTo : Infinity;
    }
  }

  #isSeen(): boolean {
    return this.#atEnd && document.visibilityState === 'visible' && this.element.offsetParent !== null;
  }

  /** What is at the upper edge, and where: it is to stay there whatever comes above it. */
  #anchor(): { readonly element: Element; readonly top: number } | undefined {
    const edge = top(this.#scroller);
    for (const element of this.#list.children) {
      const box = element.getBoundingClientRect();
      if (box.bottom > edge && box.height > 0) return { element, top: box.top };
    }
    return undefined;
  }

  #scrolled(): void {
    const { scrollHeight, scrollTop, clientHeight } = this.#scroller;
    this.#atEnd = scrollHeight - scrollTop - clientHeight < AT_END_PX;
    this.#see();
    this.#fill();
    this.#tellEnd();
  }

  #goToEnd(): void {
    this.#scroller.scrollTop = this.#scroller.scrollHeight;
    this.#atEnd = true;
  }

  /** Who looks at the end has read it. */
  #see(): void {
    if (this.#shown && this.#isSeen()) this.page.session.reading.seen(this.#shown);
  }

  /** Asks for older messages where the first ones are in sight. */
  #fill(): void {
    const conversation = this.#shown;
    if (conversation?.older !== 'more' || this.#scroller.scrollTop > NEAR_START_PX) return;
    if (this.page.chat.connection.name === 'connected' && this.element.offsetParent !== null) {
      void this.page.session.older(conversation);
    }
  }

  #tellStart(conversation: Conversation): void {
    const title = titleOf(this.page, conversation);
    const { older, timeline, kind, refused } = conversation;
    this.#start.classList.toggle('loading', older === 'loading');
    if (refused !== undefined) setText(this.#start, refused);
    else if (older === 'loading') setText(this.#start, 'Loading older messages…');
    else if (older !== 'end') setText(this.#start, '');
    else if (timeline.entries.length + timeline.outgoing.length === 0)
      setText(this.#start, 'Nothing here yet. Say hello!');
    else
      setText(
        this.#start,
        kind === 'room' ? `This is where #${title} begins.` : `This is where you and ${title} begin.`,
      );
  }

  #tellEnd(): void {
    const count = this.#shown?.unread.count ?? 0;
    this.#toEnd.hidden = this.#atEnd;
    setText(this.#count, count > 0 ? String(count) : '');
  }
}

function top(element: Element): number {
  return element.getBoundingClientRect().top;
}

function ruleRow({ kind, text }: Rule): Row<Line> {
  const words = el('span', {}, text);
  return {
    element: el('div', { className: `rule ${kind}`, attributes: { role: 'separator' } }, words),
    update: (line) => line.kind !== 'said' && setText(words, line.text),
  };
}

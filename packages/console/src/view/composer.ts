import { MAX_TEXT_LENGTH } from '../model/bodies.js';
import type { Conversation } from '../model/conversation.js';
import { el, setAttribute, setText } from './dom.js';
import { icon } from './icons.js';
import { type Page, titleOf, type View } from './page.js';
import { namesText } from './time.js';

/** How many characters are left is told below so many. */
const TOLD_BELOW = 100;
const MAX_HEIGHT_PX = 160;

/** Where messages are written, and above it who else is writing. */
export class Composer implements View {
  readonly element: HTMLElement;
  readonly #text: HTMLTextAreaElement;
  readonly #send: HTMLButtonElement;
  readonly #left = el('span', { className: 'left' });
  readonly #typing = el('span', { className: 'who' });
  readonly #typingLine: HTMLElement;
  #shown: Conversation | undefined;

  constructor(private readonly page: Page) {
    this.#text = el('textarea', { id: 'text', rows: 1, enterKeyHint: 'send' });
    this.#send = el(
      'button',
      { type: 'submit', className: 'send' },
      icon('send'),
      el('span', { className: 'hidden' }, 'Send'),
    );
    const dots = el(
      'span',
      { className: 'dots', attributes: { 'aria-hidden': 'true' } },
      el('i'),
      el('i'),
      el('i'),
    );
    this.#typingLine = el(
      'p',
      { className: 'typing', attributes: { 'aria-live': 'polite' } },
      dots,
      this.#typing,
    );
    const form = el('form', { className: 'write' }, this.#text, this.#left, this.#send);
    form.addEventListener('submit', (event) => {
      event.preventDefault();
      this.#submit();
    });
    this.#text.addEventListener('keydown', (event) => {
      if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      this.#submit();
    });
    this.#text.addEventListener('input', () => this.#typed());
    this.element = el('div', { className: 'composer' }, this.#typingLine, form);
  }

  update(): void {
    const { chat } = this.page;
    const conversation = chat.active;
    if (!conversation) return;
    if (conversation !== this.#shown) this.#open(conversation);
    const title = titleOf(this.page, conversation);
    const isOneWay = conversation.target === '0';
    const words = conversation.kind === 'room' ? `Message #${title}` : `Message ${title}`;
    this.#text.placeholder = isOneWay ? 'Nobody reads here' : words;
    this.#text.disabled = isOneWay;
    setAttribute(this.#text, 'aria-label', words);
    const typists = conversation.typists(Date.now()).map((mid) => chat.nameOf(mid));
    const verb = typists.length === 1 ? 'is' : 'are';
    this.#typingLine.classList.toggle('on', typists.length > 0);
    setText(this.#typing, typists.length > 0 ? `${namesText(typists)} ${verb} typing` : '');
  }

  focus(): void {
    // On a phone it would open the keyboard over what was to be read.
    if (matchMedia('(hover: hover)').matches) this.#text.focus();
  }

  #open(conversation: Conversation): void {
    this.#shown = conversation;
    this.#text.value = conversation.draft;
    this.#fit();
    this.focus();
  }

  #typed(): void {
    if (!this.#shown) return;
    this.#shown.draft = this.#text.value;
    this.#fit();
    this.page.session.signals.typed(this.#shown, this.#text.value.trim() === '');
  }

  #submit(): void {
    const text = this.#text.value.trim();
    if (!this.#shown || text === '' || text.length > MAX_TEXT_LENGTH) return;
    this.#text.value = '';
    this.#shown.draft = '';
    this.#fit();
    this.page.session.signals.typed(this.#shown, true);
    this.page.session.sending.send(this.#shown, text);
  }

  /** As high as its text, up to a limit. What is too long is told, never cut. */
  #fit(): void {
    const { style, value } = this.#text;
    style.height = 'auto';
    style.height = `${Math.min(this.#text.scrollHeight, MAX_HEIGHT_PX)}px`;
    const { length } = value.trim();
    const left = MAX_TEXT_LENGTH - length;
    this.#send.disabled = length === 0 || left < 0;
    this.#left.classList.toggle('over', left < 0);
    setText(this.#left, left < 0 ? `${-left} too many` : left < TOLD_BELOW ? String(left) : '');
  }
}

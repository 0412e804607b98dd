import type { Tick } from '../model/conversation.js';
import type { ChatMessage } from '../model/timeline.js';
import { avatar } from './avatar.js';
import { el, type Row, setAttribute, setText } from './dom.js';
import { type Icon, icon } from './icons.js';
import { clockText, wholeText } from './time.js';

/** A message with what surrounds it. */
export interface Said {
  readonly kind: 'said';
  readonly key: string;
  readonly message: ChatMessage;
  /** First, and last, of what one person said in a row. */
  readonly first: boolean;
  readonly last: boolean;
  readonly tick: Tick;
  /** Who has read it, in words; empty where it is not told. */
  readonly readBy: string;
  /** Whether `readBy` stands below it. */
  readonly tellsReaders: boolean;
}

export interface BubbleActions {
  again(message: ChatMessage): void;
  drop(message: ChatMessage): void;
}

const TICKS: Readonly<Record<Tick, { readonly icon: Icon; readonly text: string }>> = {
  sending: { icon: 'clock', text: 'Sending' },
  failed: { icon: 'alert', text: 'Not sent' },
  sent: { icon: 'tick', text: 'Sent' },
  delivered: { icon: 'ticks', text: 'Delivered' },
  read: { icon: 'ticks', text: 'Read' },
};

/** One message: its author, text, time, and how far an own one has come. */
export class Bubble implements Row<Said> {
  readonly element: HTMLElement;
  readonly #meta = el('span', { className: 'meta' });
  readonly #time = el('time');
  readonly #tick = el('span', { className: 'tick', attributes: { role: 'img' } });
  readonly #below = el('p', { className: 'below' });
  #message: ChatMessage;
  #shown: Tick | undefined;

  constructor(
    { message }: Said,
    private readonly actions: BubbleActions,
  ) {
    this.#message = message;
    const { fromMid, fromName, mine, text } = message;
    this.#meta.append(this.#time);
    if (mine) this.#meta.append(this.#tick);
    this.element = el(
      'div',
      { className: mine ? 'said mine' : 'said', attributes: { 'data-testid': 'message' } },
      mine ? undefined : avatar(fromMid, fromName),
      el(
        'div',
        { className: 'column' },
        el('p', { className: mine ? 'author hidden' : 'author' }, mine ? 'You' : fromName),
        el('div', { className: 'bubble' }, el('span', { className: 'text', dir: 'auto' }, text), this.#meta),
        this.#below,
      ),
    );
  }

  update({ message, first, last, tick, readBy, tellsReaders }: Said): void {
    this.#message = message;
    this.element.classList.toggle('first', first);
    this.element.classList.toggle('last', last);
    setText(this.#time, clockText(message.atMs));
    this.#time.dateTime = new Date(message.atMs).toISOString();
    this.#time.title = wholeText(message.atMs);
    setAttribute(this.element, 'data-position', message.position?.toString());
    if (message.mine) this.#tell(tick, readBy, tellsReaders);
  }

  #tell(tick: Tick, readBy: string, tellsReaders: boolean): void {
    const { icon: name, text } = TICKS[tick];
    const words = tick === 'read' && readBy ? `Read by ${readBy}` : text;
    if (this.#shown !== tick) this.#tick.replaceChildren(icon(name));
    setAttribute(this.element, 'data-tick', tick);
    setAttribute(this.#tick, 'aria-label', words);
    setAttribute(this.#tick, 'title', words);
    if (tick === 'failed' && this.#shown !== 'failed') this.#below.replaceChildren(...this.#failure());
    else if (tick !== 'failed') setText(this.#below, tellsReaders && tick === 'read' ? words : '');
    this.#shown = tick;
  }

  #failure(): Node[] {
    const { error = '' } = this.#message;
    return [
      el('span', { className: 'why' }, `Not sent: ${error}`),
      el('button', { type: 'button', onclick: () => this.actions.again(this.#message) }, 'Try again'),
      el('button', { type: 'button', onclick: () => this.actions.drop(this.#message) }, 'Remove'),
    ];
  }
}

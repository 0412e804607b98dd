import { el, setText } from './dom.js';
import { icon } from './icons.js';
import type { Page, View } from './page.js';

/** Above the messages while there is no connection: when it is tried again, or why it is not. */
export class Banner implements View {
  readonly element: HTMLElement;
  readonly #words = el('span', { className: 'words' });
  /** It changes every second, which nobody wants to be read to. */
  readonly #countdown = el('span', { attributes: { 'aria-hidden': 'true' } });
  readonly #button = el('button', { type: 'button', className: 'quiet' });
  #timer: ReturnType<typeof setInterval> | undefined;

  constructor(private readonly page: Page) {
    this.element = el(
      'div',
      { className: 'banner', hidden: true, attributes: { role: 'status' } },
      icon('offline'),
      el('p', {}, this.#words, this.#countdown),
      this.#button,
    );
  }

  update(): void {
    const { chat } = this.page;
    const { connection } = chat;
    if (connection.name === 'waiting') {
      this.#tell('No connection.', 'Try now', () => this.page.session.retryNow());
      this.#count(connection.untilMs);
      this.#timer ??= setInterval(() => this.update(), 250);
      return;
    }
    clearInterval(this.#timer);
    this.#timer = undefined;
    setText(this.#countdown, '');
    if (connection.name === 'closed') this.#closed(connection.code, connection.reason);
    else if (connection.name === 'connecting' && connection.attempt > 1) this.#tell('Connecting…');
    else if (chat.notice) this.#tell(chat.notice, 'OK', () => chat.tell(''));
    else this.element.hidden = true;
  }

  #closed(code: string, reason: string): void {
    if (code === 'taken_over') {
      const act = (): void => this.page.asAnotherDevice();
      this.#tell('The chat goes on in a copy of this window.', 'Use this one too', act);
    } else {
      this.#tell(`The connection was closed: ${reason}`, 'Connect again', () => location.reload());
    }
  }

  #tell(words: string, action?: string, act?: () => void): void {
    this.element.hidden = false;
    setText(this.#words, words);
    this.#button.hidden = action === undefined;
    setText(this.#button, action ?? '');
    this.#button.onclick = act ?? null;
  }

  #count(untilMs: number): void {
    const seconds = Math.max(0, Math.ceil((untilMs - Date.now()) / 1_000));
    setText(this.#countdown, seconds > 0 ? ` Trying again in ${seconds} s.` : ' Trying again…');
  }
}

import { MAX_NAME_LENGTH } from '../model/names.js';
import { el } from './dom.js';

export interface Question {
  readonly title: string;
  readonly label: string;
  readonly hint: string;
  readonly action: string;
}

/** Asks for one line in a dialog. It closes when `take` answers true; what it does not take can be corrected. */
export function ask({ title, label, hint, action }: Question, take: (said: string) => boolean): void {
  const input = el('input', {
    placeholder: hint,
    maxLength: MAX_NAME_LENGTH,
    required: true,
    autocomplete: 'off',
  });
  const wrong = el('p', { className: 'wrong', attributes: { role: 'alert' } });
  const form: HTMLFormElement = el(
    'form',
    {},
    el('h2', {}, title),
    el('label', {}, el('span', {}, label), input),
    wrong,
    el(
      'div',
      { className: 'buttons' },
      el('button', { type: 'button', className: 'quiet', onclick: () => dialog.close() }, 'Cancel'),
      el('button', { type: 'submit', className: 'primary' }, action),
    ),
  );
  const dialog: HTMLDialogElement = el(
    'dialog',
    { className: 'ask', attributes: { 'aria-label': title } },
    form,
  );
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    if (take(input.value)) dialog.close();
    else wrong.textContent = 'Another name, please: with letters or digits, and not your own.';
  });
  dialog.addEventListener('close', () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}

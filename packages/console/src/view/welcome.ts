import { MAX_NAME_LENGTH, tidyName } from '../model/names.js';
import { el } from './dom.js';
import { logo } from './logo.js';

/** Asks who somebody is, and tells it. */
export function welcome(enter: (name: string) => void): HTMLElement {
  const input = el('input', {
    id: 'name',
    maxLength: MAX_NAME_LENGTH,
    required: true,
    attributes: { autocomplete: 'nickname' },
    placeholder: 'Alice',
  });
  const form = el(
    'form',
    {},
    logo(),
    el('h1', {}, 'Halley'),
    el('p', {}, 'A small chat on a push cluster. Choose a name, then open another window as somebody else.'),
    el('label', {}, el('span', {}, 'Your name'), input),
    el('button', { type: 'submit', className: 'primary' }, 'Chat'),
  );
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    const name = tidyName(input.value);
    if (name) enter(name);
  });
  setTimeout(() => input.focus());
  return el('main', { className: 'welcome' }, form);
}

import { hueOf, initialsOf } from '../model/names.js';
import { el, setText } from './dom.js';

/** A disc with somebody's initials, in their colour; for the eye alone, as the name stands beside it. */
export function avatar(mid: string, name: string): HTMLElement {
  return el(
    'span',
    { className: `avatar hue-${hueOf(mid)}`, attributes: { 'aria-hidden': 'true' } },
    initialsOf(name),
  );
}

/** They have another name now. */
export function renameAvatar(element: HTMLElement, name: string): void {
  setText(element, initialsOf(name));
}

import type { Chat } from '../model/chat.js';
import type { Conversation } from '../model/conversation.js';
import type { Session } from '../session/session.js';

/** What every view is made with. */
export interface Page {
  readonly chat: Chat;
  readonly session: Session;
  /** Goes on in this window beside the one that has its connection. */
  asAnotherDevice(): void;
}

/** A part of the page: made once, brought up to date behind every change. */
export interface View {
  readonly element: HTMLElement;
  update(): void;
}

export function titleOf({ chat }: Page, { kind, target }: Conversation): string {
  return kind === 'room' ? target.slice(target.indexOf('://') + 3) : chat.nameOf(target);
}

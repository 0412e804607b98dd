import type { Conversation } from '../model/conversation.js';
import { midOf, titleOfRoom } from '../model/names.js';
import { type Page, titleOf } from './page.js';

/** The address of a conversation, behind the `#`: `/room/lobby`, `/with/Bob`. */
export function hashOf(page: Page, conversation: Conversation): string {
  const { kind, target } = conversation;
  if (kind === 'room') return `#/room/${encodeURIComponent(titleOfRoom(target))}`;
  const name = titleOf(page, conversation);
  return midOf(name) === target ? `#/with/${encodeURIComponent(name)}` : `#/user/${target}`;
}

/** The conversation at an address, made when it is new; undefined for none. */
export function conversationAt({ chat, session }: Page, hash: string): Conversation | undefined {
  const [, kind = '', encoded = ''] = hash.replace(/^#/, '').split('/');
  const what = decoded(encoded);
  if (kind === 'room') return session.openRoom(what);
  if (kind === 'with') return session.openDirect(what);
  if (kind === 'user' && /^\d{1,19}$/.test(what)) return chat.direct(what);
  return undefined;
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return '';
  }
}

import type { Chat } from '../model/chat.js';
import type { Conversation } from '../model/conversation.js';
import type { ChatMessage } from '../model/timeline.js';
import type { Said } from './bubble.js';
import { dayOf, dayText, namesText } from './time.js';

/** What is said in a row is within so long. */
const IN_A_ROW_MS = 300_000;

/** A line that is no message: a day, where the unread begin, where something is missing. */
export interface Rule {
  readonly kind: 'day' | 'new' | 'gap';
  readonly key: string;
  readonly text: string;
}

export type Line = Said | Rule;

/** The lines of a conversation, oldest first. `unreadAbove` is the mark up to which it was read when it was opened. */
export function linesOf(
  chat: Chat,
  conversation: Conversation,
  { unreadAbove, nowMs }: { readonly unreadAbove: number; readonly nowMs: number },
): Line[] {
  const { entries, outgoing, missing } = conversation.timeline;
  const messages: readonly ChatMessage[] = [...entries, ...outgoing];
  const lines: Line[] = [];
  const told = toldReaders(conversation, messages);
  const gaps = [...missing].sort((a, b) => a.through - b.through);
  let toldUnread = false;
  for (const [at, message] of messages.entries()) {
    const before = messages[at - 1];
    while (gaps[0] && gaps[0].through <= (message.position ?? Infinity)) {
      const { through, reason } = gaps.shift() as (typeof gaps)[number];
      lines.push({ kind: 'gap', key: `gap:${through}`, text: `Messages are missing here (${reason})` });
    }
    const isNewDay = !before || dayOf(before.atMs) !== dayOf(message.atMs);
    if (isNewDay)
      lines.push({ kind: 'day', key: `day:${dayOf(message.atMs)}`, text: dayText(message.atMs, nowMs) });
    const beginsUnread: boolean = !toldUnread && !message.mine && message.mark > unreadAbove;
    // A line above everything would tell nothing.
    if (beginsUnread && at > 0) lines.push({ kind: 'new', key: 'new', text: 'New' });
    toldUnread ||= beginsUnread;
    const breaks = isNewDay || (beginsUnread && at > 0);
    if (breaks) closeRow(lines, message);
    lines.push({
      kind: 'said',
      key: message.mine && message.clientId ? `c:${message.clientId}` : `p:${message.position}`,
      message,
      first: breaks || !inARow(before, message),
      last: !inARow(message, messages[at + 1]),
      tick: message.mine ? conversation.tickOf(message) : 'sent',
      readBy: namesText(conversation.readersOf(message).map((mid) => chat.nameOf(mid))),
      tellsReaders: message === told,
    });
  }
  return lines;
}

/** The newest own message that somebody has read: below it stands who. */
function toldReaders(conversation: Conversation, messages: readonly ChatMessage[]): ChatMessage | undefined {
  return messages.findLast((message) => message.mine && conversation.tickOf(message) === 'read');
}

function inARow(one: ChatMessage | undefined, next: ChatMessage | undefined): boolean {
  if (!one || !next) return false;
  return one.fromMid === next.fromMid && next.atMs - one.atMs < IN_A_ROW_MS;
}

/** The message ahead of a rule ends its row. */
function closeRow(lines: Line[], next: ChatMessage): void {
  const at = lines.findLastIndex(({ kind }) => kind === 'said');
  const line = lines[at];
  if (line?.kind === 'said' && inARow(line.message, next)) lines[at] = { ...line, last: true };
}

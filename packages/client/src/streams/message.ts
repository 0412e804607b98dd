import type { Deliver, Entry } from '@halley/protocol/client/bodies';

/** A message as the application gets it: what the stream holds (docs/protocol/ver2.md), and which stream it is. */
export interface StreamMessage extends Entry {
  /** `u/{mid}`: the inbox. `r/{room}`: a room. `all`: everyone. Empty: for this connection alone. */
  readonly stream: string;
  /** The room, `{type}://{room}`; undefined in other streams. */
  readonly room: string | undefined;
  /** What the position counts in; empty where the message has none, because it is not kept. */
  readonly epoch: string;
}

export function messageOf(entry: Entry, { stream, epoch }: Pick<Deliver, 'stream' | 'epoch'>): StreamMessage {
  return { ...entry, stream, room: roomOf(stream), epoch };
}

/** The stream of a room. */
export function streamOfRoom(room: string): string {
  return `r/${room}`;
}

/** The room of a stream; undefined when it is not a room's. */
export function roomOf(stream: string): string | undefined {
  return stream.startsWith('r/') ? stream.slice(2) : undefined;
}

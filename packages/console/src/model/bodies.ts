/** What the page's messages are, by their operation. Those above 1001 are sent to users and rooms beside what is shown. */
export const Op = {
  /** Durable: something said. */
  Text: 1000,
  /** Durable, to a user: up to where their messages were read. Rooms have operation 31 for that; an inbox is nobody else's. */
  Read: 1001,
  /** Ephemeral: is typing, or has stopped. */
  Typing: 1010,
  /** Ephemeral: I am here, and this is my name. */
  Hello: 1011,
  /** Ephemeral, to a user: up to where their messages have come to a device. */
  Delivered: 1012,
} as const;

/** The longest text, in UTF-16 units: fits `session.maxBodyBytes` in any script. */
export const MAX_TEXT_LENGTH = 1_000;

/** Every body is an object of JSON with some of these. */
export interface Body {
  /** The sender's name. */
  readonly name?: string;
  readonly text?: string;
  /** Unix milliseconds: messages that were accepted up to then. */
  readonly at?: number;
  /** Of Typing: not any more. */
  readonly stopped?: boolean;
  /** Of Hello: an answer, which needs none. */
  readonly answer?: boolean;
}

export function encodeBody(body: Body): string {
  return JSON.stringify(body);
}

/** Reads a body, whoever wrote it. What is not of this page, as a push from a shell, is text as it stands. */
export function decodeBody(bytes: Uint8Array): Body {
  const raw = new TextDecoder().decode(bytes);
  let read: unknown;
  try {
    read = JSON.parse(raw);
  } catch {
    return { text: raw };
  }
  if (typeof read !== 'object' || read === null || Array.isArray(read)) return { text: raw };
  const { name, text, at, stopped, answer } = read as Readonly<Record<string, unknown>>;
  const body: Body = {
    ...(typeof name === 'string' && { name }),
    ...(typeof text === 'string' && { text }),
    ...(typeof at === 'number' && { at }),
    stopped: stopped === true,
    answer: answer === true,
  };
  return body.text === undefined && body.at === undefined && body.name === undefined ? { text: raw } : body;
}

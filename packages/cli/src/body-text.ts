/** A body as text when it is UTF-8; undefined otherwise. */
export function textOf(body: Uint8Array): string | undefined {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(body);
  } catch {
    return undefined;
  }
}

/** A body for people. Control characters are shown, not obeyed: a body is not to steer the terminal. */
export function shownBody(body: Uint8Array): string {
  return shownText(textOf(body)) ?? `${bytesText(body.length)}: ${hexOf(body)}`;
}

/** Text with its control characters shown. */
export function shownText<Text extends string | undefined>(text: Text): Text {
  return text?.replace(
    /[\p{Cc}\p{Cf}]/gu,
    (char) => `\\u${(char.codePointAt(0) ?? 0).toString(16).padStart(4, '0')}`,
  ) as Text;
}

/** How large something is. */
export function bytesText(count: number | string): string {
  return Number(count) === 1 ? '1 byte' : `${count} bytes`;
}

/** A body as a field of JSON, as the HTTP API has it: `body` as text, or `body_base64`. */
export function bodyJson(body: Uint8Array, name = 'body'): Record<string, string> {
  const text = textOf(body);
  return text === undefined ? { [`${name}_base64`]: Buffer.from(body).toString('base64') } : { [name]: text };
}

function hexOf(body: Uint8Array): string {
  return `${Buffer.from(body.subarray(0, 64)).toString('hex')}${body.length > 64 ? '…' : ''}`;
}

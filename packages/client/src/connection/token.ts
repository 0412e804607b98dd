/** A token, or who is asked for one ahead of every connection, and before the last one expires. */
export type TokenSource = string | (() => string | Promise<string>);

export async function readToken(source: TokenSource): Promise<string> {
  return typeof source === 'string' ? source : source();
}

/**
 * A JSON token without a key gets the key that the server had made up for the connection before, so that it is the same
 * device. The text of the rest stays: users don't fit in JSON's numbers. Other tokens stay as they are.
 */
export function withKey(token: string, key: string): string {
  if (!key || !token.trimStart().startsWith('{')) return token;
  const fields = JSON.parse(token) as Readonly<Record<string, unknown>>;
  if (fields['key']) return token;
  const end = token.lastIndexOf('}');
  return `${token.slice(0, end)}${Object.keys(fields).length > 0 ? ',' : ''}"key":${JSON.stringify(key)}}`;
}

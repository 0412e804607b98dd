import { createHmac } from 'node:crypto';

const PREFIX = 'whsec_';

/** The key of a secret, `whsec_` (which may be left out) and 24 to 64 bytes in base64; undefined when it is none. */
export function secretOf(text: string): Buffer | undefined {
  const base64 = text.startsWith(PREFIX) ? text.slice(PREFIX.length) : text;
  if (!/^[A-Za-z0-9+/]+={0,2}$/.test(base64)) return undefined;
  const key = Buffer.from(base64, 'base64');
  return key.length >= 24 && key.length <= 64 ? key : undefined;
}

/**
 * The headers of a message as Standard Webhooks 1 has them: HMAC-SHA256 over id, time of the attempt (Unix seconds) and
 * body, one signature for each key.
 */
export function signed(
  id: string,
  body: string,
  nowMs: number,
  keys: readonly Buffer[],
): Readonly<Record<'webhook-id' | 'webhook-timestamp' | 'webhook-signature', string>> {
  const timestamp = String(Math.floor(nowMs / 1_000));
  const content = `${id}.${timestamp}.${body}`;
  const signatures = keys.map((key) => `v1,${createHmac('sha256', key).update(content).digest('base64')}`);
  return { 'webhook-id': id, 'webhook-timestamp': timestamp, 'webhook-signature': signatures.join(' ') };
}

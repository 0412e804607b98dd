import { isIP } from 'node:net';

import { HalleyError } from '@halley/protocol/error';

/**
 * Whether requests with events may go there: by https, or by http where that stays on this machine. `key` is the configuration
 * key that allows http elsewhere; undefined where it is allowed. Throws `bad_config`, which names `path`.
 */
export function checkHookUrl(url: string, path: string, key: string | undefined): void {
  let parsed: URL;
  try {
    parsed = new URL(url);
  } catch {
    throw new HalleyError('bad_config', `${path} is no URL`);
  }
  const { protocol, hostname, username, password } = parsed;
  if (username !== '' || password !== '')
    throw new HalleyError('bad_config', `${path} holds a user or password: requests are signed instead`);
  const isLocal =
    hostname === 'localhost' || hostname === '[::1]' || (isIP(hostname) === 4 && hostname.startsWith('127.'));
  if (protocol === 'https:' || (protocol === 'http:' && (key === undefined || isLocal))) return;
  const remedy = key === undefined ? ' or http://' : `, or set ${key} for http://`;
  throw new HalleyError('bad_config', `${path} must be https://${remedy}`);
}

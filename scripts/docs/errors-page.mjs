import { CloseCode, shouldReconnect } from '@halley/protocol/close-code';
import { ERRORS } from '@halley/protocol/error';

import { table } from './table.mjs';

/** docs/errors.md, from the error table. */
export function errorsPage() {
  const names = new Map(Object.entries(CloseCode).map(([name, code]) => [code, name]));
  const rows = Object.entries(ERRORS).map(([code, entry]) => [
    `\`${code}\``,
    entry.text,
    entry.retryable ? 'yes' : 'no',
    entry.grpc,
    String(entry.http),
    `${entry.close} ${names.get(entry.close)}`,
  ]);
  const closing = Object.values(CloseCode)
    .toSorted((a, b) => a - b)
    .map((code) => {
      const errors = Object.entries(ERRORS).filter(([, entry]) => entry.close === code);
      return [
        String(code),
        names.get(code) ?? '',
        shouldReconnect(code) ? 'yes' : 'no',
        errors.map(([name]) => `\`${name}\``).join(', '),
      ];
    });
  return [
    '# Errors',
    '',
    '<!-- Generated from packages/protocol/src/error.ts by `npm run docs`. Do not edit. -->',
    '',
    'Every failure that Halley answers with has one of these codes. They are stable: match on the code, show the message.',
    '',
    '- **gRPC**: the status below, with the code in the trailer `halley-code`, and for what can be repeated',
    '  `retry-after-ms`.',
    '- **HTTP, `/v1`**: the status below and problem details (RFC 9457) with the code in `code`, and in `type` as',
    '  `urn:halley:error:CODE`. The endpoints of goim keep the answers of goim (200 or 400 with `"code":-400`, 200 with',
    '  `"code":-500`, 413).',
    '- **WebSocket**: the close code below, see [close codes](protocol/close-codes.md). On TCP the connection just ends.',
    '- **The message** never contains the cause; the log of the node does.',
    '',
    'Repeat says whether the same call can succeed later without being changed.',
    '',
    ...table(['code', 'what happened, what to do', 'repeat', 'gRPC', 'HTTP', 'close'], rows),
    '',
    '## Close codes and the errors behind them',
    '',
    ...table(['close', 'name', 'reconnect', 'errors'], closing),
    '',
  ].join('\n');
}

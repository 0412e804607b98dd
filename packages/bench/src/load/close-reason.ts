import { CloseCode } from '@halley/protocol/close-code';

/** Codes of RFC 6455, 7.4.1, and of its registry. */
const STANDARD: Readonly<Record<number, string>> = {
  1000: 'Normal',
  1001: 'GoingAway',
  1002: 'ProtocolError',
  1003: 'UnsupportedData',
  1005: 'NoCode',
  1006: 'Abnormal',
  1007: 'InvalidData',
  1008: 'PolicyViolation',
  1009: 'MessageTooBig',
  1011: 'InternalError',
  1012: 'ServiceRestart',
  1013: 'TryAgainLater',
};

const NAMES = new Map<string, string>([
  ...Object.entries(STANDARD),
  ...Object.entries(CloseCode).map(([name, code]) => [`${code}`, name] as const),
]);

/**
 * A worker's word for why a connection ended, as people read it: `code_3003` is `3003 HandshakeTimeout`, `http_503` is
 * `HTTP 503`; the others stay: `reset`, `eof`, `refused`, `timeout`, `no_port` (the local ports are used up), `unreachable`,
 * `unread` (the server does not read), `bad_frame`, `bad_upgrade`, `version_1` (the server does not know version 2), `dropped`.
 */
export function reasonName(reason: string): string {
  const [, kind, number = ''] = /^(code|http)_(\d+)$/.exec(reason) ?? [];
  if (kind === 'code') return `${number} ${NAMES.get(number) ?? 'unknown'}`;
  return kind === 'http' ? `HTTP ${number}` : reason;
}

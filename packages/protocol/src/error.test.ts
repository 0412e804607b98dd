import { describe, expect, test } from '@jest/globals';

import { CloseCode, shouldReconnect } from './close-code.js';
import { ERRORS, HalleyError } from './error.js';

describe('HalleyError', () => {
  test('keeps the cause apart from what is told', () => {
    const cause = new Error('redis://user:password@host');
    const error = new HalleyError('store_unavailable', undefined, { cause, retryAfterMs: 50 });
    expect(error.cause).toBe(cause);
    expect(error.message).toBe(ERRORS.store_unavailable.text);
    expect(error.retryable).toBe(true);
    expect(error.retryAfterMs).toBe(50);
  });

  test('anything thrown becomes one: itself, or an internal error', () => {
    const error = new HalleyError('bad_frame');
    expect(HalleyError.from(error)).toBe(error);
    expect(HalleyError.from('a string')).toMatchObject({ code: 'internal', cause: 'a string' });
  });
});

describe('close codes', () => {
  test('are 3000 to 3499 to reconnect and 3500 to 3999 not to, each once', () => {
    const codes = Object.values(CloseCode);
    expect(new Set(codes).size).toBe(codes.length);
    for (const code of codes) expect(code >= 3000 && code <= 3999).toBe(true);
    expect(shouldReconnect(CloseCode.Draining)).toBe(true);
    expect(shouldReconnect(3499)).toBe(true);
    expect(shouldReconnect(3500)).toBe(false);
    expect(shouldReconnect(3999)).toBe(false);
    expect(shouldReconnect(1006)).toBe(true);
  });
});

import { expect, test } from '@jest/globals';

import { demoPages } from './demo-pages.js';

const pages = demoPages();
const index = pages?.find('/');

test('the index names its script and styles, which are there and kept for good; it is asked for again', () => {
  const text = Buffer.from(index?.body ?? '').toString();
  expect(index).toMatchObject({ contentType: 'text/html; charset=utf-8', cacheControl: 'no-cache' });
  const named = [...text.matchAll(/(?:src|href)="\.(\/[^"]+)"/g)].map(([, path = '']) => path);
  expect(named.map((path) => path.replace(/-\w+\./, '.'))).toEqual(['/icon.svg', '/console.css', '/main.js']);
  for (const path of named) expect(pages?.find(path)?.cacheControl).toContain('immutable');
});

test('the page runs its own script alone, and is in no frame', () => {
  const policy = index?.headers?.['content-security-policy'];
  expect(policy).toContain("default-src 'none'; script-src 'self'; style-src 'self'");
  expect(policy).toContain("frame-ancestors 'none'");
  expect(Buffer.from(index?.body ?? '').toString()).not.toMatch(/<script[^>]*>[^<]|style=|\son\w+=/);
});

test('nothing else is found', () => {
  for (const path of ['', '/other', '/../page/index.html', '/index.html/', '/package.json']) {
    expect(pages?.find(path)).toBeUndefined();
  }
});

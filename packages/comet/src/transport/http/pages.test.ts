import { afterAll, beforeAll, expect, test } from '@jest/globals';

import { CometHarness } from '../../testing/harness.js';

let harness: CometHarness;
const asked: string[] = [];
beforeAll(async () => {
  const pages = {
    find: (path: string) => {
      asked.push(path);
      if (path !== '/a page.html') return undefined;
      const headers = { 'content-security-policy': "default-src 'self'" };
      return { contentType: 'text/html', body: Buffer.from('<p>hello'), cacheControl: 'no-cache', headers };
    },
  };
  harness = await CometHarness.start({ pages });
});
afterAll(() => harness.stop());

function get(path: string, method = 'GET'): Promise<Response> {
  return fetch(`http://127.0.0.1:${harness.comet.boundPorts.ws}${path}`, { method });
}

test('a page is served, decoded and without its query', async () => {
  const response = await get('/a%20page.html?v=1');
  expect(response.status).toBe(200);
  expect(Object.fromEntries(response.headers)).toMatchObject({
    'content-type': 'text/html',
    'content-length': '8',
    'cache-control': 'no-cache',
    'content-security-policy': "default-src 'self'",
    'x-content-type-options': 'nosniff',
  });
  expect(await response.text()).toBe('<p>hello');
});

test('HEAD has the headers alone', async () => {
  const response = await get('/a%20page.html', 'HEAD');
  expect([response.status, response.headers.get('content-length')]).toEqual([200, '8']);
  expect(await response.text()).toBe('');
});

test.each([
  ['/other', 'GET'],
  ['/%ff', 'GET'],
  ['/a%20page.html', 'POST'],
])('%s by %s is not found', async (path, method) => {
  const before = asked.length;
  expect((await get(path, method)).status).toBe(404);
  expect(asked.length - before).toBe(path === '/other' ? 1 : 0);
});

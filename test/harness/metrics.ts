import { get } from 'node:http';

/** A node's metrics: the sum of those of a name whose labels match, 0 when there is none. */
export async function metric(opsAddress: string, name: string, matching: RegExp = /(?:)/): Promise<number> {
  const text = await page(`http://${opsAddress}/metrics`);
  let sum = 0;
  for (const line of text.split('\n')) {
    const [, found, labels = '', value] = /^(\w+)(\{.*\})? (\S+)$/.exec(line) ?? [];
    if (found === name && matching.test(labels)) sum += Number(value);
  }
  return sum;
}

function page(url: string): Promise<string> {
  return new Promise((resolve, reject) => {
    get(url, { agent: false }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
      response.on('end', () => resolve(text)).on('error', reject);
    }).on('error', reject);
  });
}

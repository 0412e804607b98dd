// node verify.mjs ID TIMESTAMP SIGNATURES < BODY, with the secret in WEBHOOK_SECRET: what came is genuine.
import { createHmac, timingSafeEqual } from 'node:crypto';
import { readFileSync } from 'node:fs';

export function verify(secret, id, timestamp, signatures, body) {
  if (Math.abs(Date.now() / 1000 - Number(timestamp)) > 300) return false;
  const key = Buffer.from(secret.replace(/^whsec_/, ''), 'base64');
  const expected = createHmac('sha256', key).update(`${id}.${timestamp}.${body}`).digest();
  return signatures.split(' ').some((signature) => {
    const [version, mac = ''] = signature.split(',');
    const given = Buffer.from(mac, 'base64');
    return version === 'v1' && given.length === expected.length && timingSafeEqual(given, expected);
  });
}

const [id, timestamp, signatures] = process.argv.slice(2);
const body = readFileSync(0, 'utf8');
process.stdout.write(
  verify(process.env.WEBHOOK_SECRET, id, timestamp, signatures, body) ? 'genuine\n' : 'forged\n',
);

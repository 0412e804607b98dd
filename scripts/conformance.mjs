// npm run conformance -- --tcp HOST:PORT --ws ws://HOST:PORT/sub --comet-grpc HOST:PORT --logic-http http://HOST:PORT --logic-grpc HOST:PORT
// Runs the suites of both versions of the client protocol against an address; without options, against a start of the product.
import { spawn } from 'node:child_process';
import { parseArgs } from 'node:util';

const OPTIONS = [
  'tcp',
  'ws',
  'comet-grpc',
  'logic-http',
  'logic-grpc',
  'jwt-secret',
  'durable-type',
  'transports',
];
const USAGE = `Runs the suites of goim's protocol and of its version 2 against an address; without one, against starts of the product.

  npm run conformance
  npm run conformance -- --tcp 127.0.0.1:3101 --ws ws://127.0.0.1:3102/sub --comet-grpc 127.0.0.1:3109 \\
    --logic-http http://127.0.0.1:3111 --logic-grpc 127.0.0.1:3119

Of version 2, which is left out with a word where the server does not speak it, more is tested with:

  --durable-type chat    rooms of this type are durable there (push.durableRooms has chat://*)
  --jwt-secret SECRET    its tokens are JSON Web Tokens (HS256); goim's suite, whose tokens are plain, is left out then.
                         HALLEY_CONFORMANCE_JWT_SECRET in the environment does the same

What can be said over several transports is, over TCP and WebSocket unless others are named:

  --transports sse,poll  a list of tcp, ws, sse and poll; the last two are at the port of --ws. Starts of the product
                         are tested over all four`;

const { values } = readOptions();
if (!values.tcp && (values['jwt-secret'] || values['durable-type'] || values.transports))
  fail('--jwt-secret, --durable-type and --transports are of an address: give it too');
const env = { ...process.env, NODE_OPTIONS: '--experimental-vm-modules --no-warnings' };
for (const [name, value] of Object.entries(values)) {
  env[`HALLEY_CONFORMANCE_${name.toUpperCase().replaceAll('-', '_')}`] = value;
}
const jest = [
  'node_modules/jest/bin/jest.js',
  '--selectProjects',
  'protocol',
  '--',
  // The others start what they test.
  ...(Object.keys(values).length > 0
    ? ['test/conformance/conformance']
    : ['test/conformance/(conformance|version2|over-http)']),
];
const root = new URL('..', import.meta.url);
const child = spawn(process.execPath, jest, { cwd: root, env, stdio: 'inherit' });
child.on('exit', (code) => {
  process.exitCode = code ?? 1;
});

function readOptions() {
  try {
    const addresses = Object.fromEntries(OPTIONS.map((name) => [name, { type: 'string' }]));
    const { values: given } = parseArgs({ options: { ...addresses, help: { type: 'boolean' } } });
    if (given.help) {
      process.stdout.write(`${USAGE}\n`);
      process.exit(0);
    }
    return { values: given };
  } catch (error) {
    return fail(error.message);
  }
}

function fail(message) {
  process.stderr.write(`${message}\n${USAGE}\n`);
  process.exit(1);
}

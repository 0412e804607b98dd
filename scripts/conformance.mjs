// npm run conformance -- --tcp HOST:PORT --ws ws://HOST:PORT/sub --comet-grpc HOST:PORT --logic-http http://HOST:PORT --logic-grpc HOST:PORT
// Runs the suite of the goim protocol against an address; without options, against a start of the product.
import { spawn } from 'node:child_process';
import { parseArgs } from 'node:util';

const OPTIONS = ['tcp', 'ws', 'comet-grpc', 'logic-http', 'logic-grpc'];
const USAGE = `Runs the suite of the goim protocol against an address; without one, against a start of the product.

  npm run conformance
  npm run conformance -- --tcp 127.0.0.1:3101 --ws ws://127.0.0.1:3102/sub --comet-grpc 127.0.0.1:3109 \\
    --logic-http http://127.0.0.1:3111 --logic-grpc 127.0.0.1:3119`;

const { values } = readOptions();
const env = { ...process.env, NODE_OPTIONS: '--experimental-vm-modules --no-warnings' };
for (const [name, value] of Object.entries(values)) {
  env[`HALLEY_CONFORMANCE_${name.toUpperCase().replaceAll('-', '_')}`] = value;
}
const jest = [
  'node_modules/jest/bin/jest.js',
  '--selectProjects',
  'protocol',
  '--',
  'test/conformance/conformance',
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
    process.stderr.write(`${error.message}\n${USAGE}\n`);
    process.exit(1);
  }
}

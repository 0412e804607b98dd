// Runs all tests and ends with the line `N passed, N failed`. What needs no service runs first, on every core; then what
// starts services and whole clusters, alone, so that nodes are not late because of other tests.
// Arguments go to jest: `npm test -- routes` runs what has `routes` in its path.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import os from 'node:os';
import path from 'node:path';

const PHASES = {
  unit: [['--selectProjects', 'unit', '--maxWorkers=100%']],
  all: [
    ['--selectProjects', 'unit', '--maxWorkers=100%'],
    ['--selectProjects', 'protocol', 'services', '--maxWorkers=1'],
  ],
};

const jest = path.join(
  path.dirname(createRequire(import.meta.url).resolve('jest/package.json')),
  'bin/jest.js',
);
const dir = mkdtempSync(path.join(os.tmpdir(), 'halley-results-'));
const [which, ...patterns] = process.argv.slice(2);

const output = (file) => ['--json', `--outputFile=${file}`, '--passWithNoTests'];

let passed = 0;
let failed = 0;
for (const [index, phase] of PHASES[which].entries()) {
  const file = path.join(dir, `${index}.json`);
  const { status } = spawnSync(
    process.execPath,
    ['--experimental-vm-modules', '--no-warnings', jest, ...phase, ...output(file), '--', ...patterns],
    { stdio: ['ignore', 'ignore', 'inherit'] },
  );
  const results = readResults(file);
  const broken = results.testResults.filter((suite) => suite.status === 'failed' && allPassed(suite)).length;
  passed += results.numPassedTests;
  failed += results.numFailedTests + broken;
  // A run that ended badly without a failed test (a service that did not start) is a failure too.
  if (status !== 0 && results.numFailedTests + broken === 0) failed += 1;
}
rmSync(dir, { recursive: true, force: true });
process.stdout.write(`${passed} passed, ${failed} failed\n`);
process.exitCode = failed > 0 || passed === 0 ? 1 : 0;

/** A file that failed although none of its tests did: it could not be loaded, or its set-up failed. */
function allPassed({ assertionResults }) {
  return assertionResults.every(({ status }) => status !== 'failed');
}

function readResults(file) {
  try {
    return JSON.parse(readFileSync(file, 'utf8'));
  } catch {
    return { numPassedTests: 0, numFailedTests: 0, testResults: [] };
  }
}

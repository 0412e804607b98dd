// Runs all tests and ends with the line `N passed, N failed`. What needs no service runs first, on every core; then what
// starts servers, services and whole clusters, in two runs beside each other, each one file after another: both wait for most
// of their time.
// Arguments go to jest: `npm test -- routes` runs what has `routes` in its path.
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import os from 'node:os';
import path from 'node:path';

/** Phases come one after another; the runs of a phase beside each other. */
const UNIT = [['--selectProjects', 'unit', '--maxWorkers=100%']];
const PHASES = {
  unit: [UNIT],
  all: [
    UNIT,
    [
      ['--selectProjects', 'protocol', 'check', '--maxWorkers=1'],
      ['--selectProjects', 'services', '--maxWorkers=1'],
    ],
  ],
};

const jest = path.join(
  path.dirname(createRequire(import.meta.url).resolve('jest/package.json')),
  'bin/jest.js',
);
const dir = mkdtempSync(path.join(os.tmpdir(), 'halley-results-'));
const [which, ...patterns] = process.argv.slice(2);

let passed = 0;
let failed = 0;
for (const phase of PHASES[which]) await Promise.all(phase.map((run, index) => runTests(run, index)));
rmSync(dir, { recursive: true, force: true });
process.stdout.write(`${passed} passed, ${failed} failed\n`);
process.exitCode = failed > 0 || passed === 0 ? 1 : 0;

async function runTests(selected, index) {
  const file = path.join(dir, `${selected[1]}.json`);
  const args = [
    '--experimental-vm-modules',
    '--no-warnings',
    jest,
    ...selected,
    '--json',
    `--outputFile=${file}`,
    '--passWithNoTests',
    '--',
    ...patterns,
  ];
  // Each has ports of its own: those of a node that was killed are nobody else's until it is back.
  const status = await exitCodeOf(args, { ...process.env, HALLEY_TEST_RUN: String(index) });
  const results = readResults(file);
  const broken = results.testResults.filter((suite) => suite.status === 'failed' && allPassed(suite)).length;
  passed += results.numPassedTests;
  failed += results.numFailedTests + broken;
  // A run that ended badly without a failed test (a service that did not start) is a failure too.
  if (status !== 0 && results.numFailedTests + broken === 0) failed += 1;
}

function exitCodeOf(args, env) {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, args, { env, stdio: ['ignore', 'ignore', 'inherit'] });
    child.on('error', () => resolve(1));
    child.on('exit', (code) => resolve(code ?? 1));
  });
}

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

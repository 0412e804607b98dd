// Runs every check and then all tests, whatever failed before, so that one run tells all. The last line is the tests'
// `N passed, N failed`; the line before it names the checks that failed. Exits with the worst exit code.
import { spawnSync } from 'node:child_process';

const CHECKS = ['types', 'lint', 'format:check'];

/** Runs a script of package.json in the current folder; the tests' own `pretest` would repeat the types. */
function npmRun(script, stdout) {
  const args = ['run', '--silent', '--ignore-scripts', script];
  const { status, stdout: text } = spawnSync('npm', args, {
    stdio: ['ignore', stdout, 'inherit'],
    encoding: 'utf8',
  });
  return { code: status ?? 1, text: text ?? '' };
}

const codes = CHECKS.map((check) => npmRun(check, 'inherit').code);
const failed = CHECKS.filter((_, index) => codes[index] !== 0);

const tests = npmRun('test', 'pipe');
if (failed.length > 0) process.stdout.write(`Failed: ${failed.join(', ')}\n`);
process.stdout.write(/^\d+ passed, \d+ failed\n$/m.test(tests.text) ? tests.text : '0 passed, 1 failed\n');
process.exitCode = Math.max(tests.code, ...codes);

/** Ends every run with the plain line `N passed, N failed` on standard output. */
export default class SummaryReporter {
  onRunComplete(_contexts, results) {
    const failedSuites = results.testResults.filter((suite) => suite.testExecError).length;
    const failed = results.numFailedTests + failedSuites;
    setImmediate(() => process.stdout.write(`${results.numPassedTests} passed, ${failed} failed\n`));
  }
}

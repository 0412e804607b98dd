import { eachLine } from './lines.js';
import { LoadWorker } from './load-worker.js';

const worker = new LoadWorker((line) => void process.stdout.write(line));
eachLine(process.stdin, (line) => worker.obey(line));
// Who started it is gone, or is done with it.
process.stdin.once('end', () => {
  worker.stop();
  process.exit(0);
});
// The terminal's interrupt goes to all; who started this one ends it by closing stdin.
process.on('SIGINT', () => {});

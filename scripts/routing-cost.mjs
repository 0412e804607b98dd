// Counts what routing costs: what is sent to 300 comets for pushes of several shapes, by the product's own code, beside what
// goim would send. Needs no service; docs/scaling.md has what it prints.
import { routingCost } from '@halley/cli/routing-cost/report';

const [comets = 300, bodyBytes = 100] = process.argv.slice(2).map(Number);
if (!(comets >= 1 && comets <= 10_000) || !(bodyBytes >= 0 && bodyBytes <= 100_000)) {
  process.stderr.write('npm run routing-cost -- [COMETS, 1 to 10000] [BODY BYTES, 0 to 100000]\n');
  process.exitCode = 1;
} else {
  const { table } = await routingCost({ comets, bodyBytes });
  process.stdout.write(
    `${comets} comets, bodies of ${bodyBytes} bytes\n\n${table}\n\nOf goim it is what its code sends, worked out; nothing of it was run.\n`,
  );
}

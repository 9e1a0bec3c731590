import { readArgs, UsageError, usage } from './args';
import { runConformance } from './run';

async function main(): Promise<number> {
  const options = readArgs(process.argv.slice(2));
  if (options === undefined) {
    process.stdout.write(usage);
    return 0;
  }
  const totals = await runConformance(options, (line) => process.stdout.write(`${line}\n`));
  return totals.failed === 0 ? 0 : 1;
}

main().then(
  (code) => {
    process.exitCode = code;
  },
  (error: unknown) => {
    if (!(error instanceof UsageError)) throw error;
    process.stderr.write(`${error.message}\nTry: pnpm conformance --help\n`);
    process.exitCode = 2;
  },
);

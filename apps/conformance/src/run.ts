import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import type { ConformanceOptions } from './args';
import { checkGolden } from './check-golden';
import { checkModel } from './check-model';
import { checkRefusals } from './check-refusals';
import type { Comparison } from './compare';
import { findTargets, type Target } from './find-targets';
import { isUnsupported } from './open-model';
import { type Outcome, outcomeLine, sum, type Totals, totalsLine } from './outcome';
import { checkTokenizerPath } from './tokenizers/check';

// From src/ and from dist/ alike.
const fixtures = fileURLToPath(new URL('../fixtures', import.meta.url));

/** Checks every target, printing a line for each as it is done and the totals at the end. */
export async function runConformance(options: ConformanceOptions, print: (line: string) => void): Promise<Totals> {
  const targets = findTargets(options.paths.length > 0 ? options.paths : [fixtures]);
  const nameWidth = Math.max(...targets.map((target) => target.name.length));
  const outcomes: Outcome[] = [];
  const converted = mkdtempSync(path.join(tmpdir(), 'airllm-conformance-'));
  try {
    for (const target of targets) {
      const outcome = await check(target, { cacheDir: converted, ...options });
      print(outcomeLine(outcome, nameWidth));
      outcomes.push(outcome);
    }
  } finally {
    rmSync(converted, { recursive: true, force: true });
  }
  const totals = sum(outcomes);
  print(totalsLine(totals));
  return totals;
}

async function check(target: Target, options: ConformanceOptions): Promise<Outcome> {
  const began = performance.now();
  const outcome = (status: Outcome['status'], facts: string[]): Outcome => ({
    name: target.name,
    status,
    facts,
    seconds: (performance.now() - began) / 1000,
  });
  try {
    const comparisons = await compare(target, options);
    return outcome(
      statusOf(comparisons),
      comparisons.map((comparison) => comparison.fact),
    );
  } catch (error) {
    const skip = options.skipUnsupported && isUnsupported(error);
    return outcome(skip ? 'skipped' : 'failed', [error instanceof Error ? error.message : String(error)]);
  }
}

function compare(target: Target, options: ConformanceOptions): Promise<Comparison[]> {
  switch (target.kind) {
    case 'golden':
      return checkGolden(target.path, options);
    case 'model':
      return checkModel(target.path, options);
    case 'refusals':
      return checkRefusals(target.path);
    case 'tokenizer':
      return checkTokenizer(target.path, options);
  }
}

function statusOf(comparisons: readonly Comparison[]): Outcome['status'] {
  const made = comparisons.filter((comparison) => !comparison.skipped);
  if (made.some((comparison) => !comparison.ok)) return 'failed';
  return made.length > 0 ? 'passed' : 'skipped';
}

async function checkTokenizer(file: string, { packagesDir }: ConformanceOptions): Promise<Comparison[]> {
  const checks = await checkTokenizerPath(file, { packagesDir });
  return checks.map(({ name, passed, skipped = false, detail }) => ({
    ok: passed,
    skipped,
    fact: `${name}: ${detail}`,
  }));
}

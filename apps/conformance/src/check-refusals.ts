import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import path from 'node:path';
import { AirllmError } from '@airllm/loader';
import { openSource } from '@airllm/shard';
import type { Comparison } from './compare';

interface ExpectedFile {
  readonly reason: string;
  readonly valid: boolean;
  /** A file that appears if the pickle was executed. */
  readonly canary?: string;
}

/** Whether an `expected.json` lists files that must open or be refused. */
export function isRefusals(content: Record<string, unknown>): boolean {
  const files = Object.values(content);
  const isFile = (file: unknown) => typeof (file as ExpectedFile | null)?.valid === 'boolean';
  return files.length > 0 && files.every(isFile);
}

/** Opens each file of a folder of malformed ones: the valid must open, the others be refused with a typed error. */
export async function checkRefusals(dir: string): Promise<Comparison[]> {
  const expected = JSON.parse(readFileSync(path.join(dir, 'expected.json'), 'utf8')) as Record<string, ExpectedFile>;
  const before = readdirSync(dir);
  const problems: string[] = [];
  for (const [name, { reason, valid, canary }] of Object.entries(expected)) {
    const error = await openSource(path.join(dir, name)).then(
      () => null,
      (reason: unknown) => reason,
    );
    if (valid && error !== null) problems.push(`${name} is valid, but was refused: ${(error as Error).message}`);
    if (!valid && error === null) problems.push(`${name} was not refused (${reason})`);
    if (!valid && error !== null && !(error instanceof Error && isTyped(error))) {
      problems.push(`${name} was refused with an untyped error: ${error}`);
    }
    for (const place of canary ? [dir, process.cwd()] : []) {
      const file = path.join(place, canary!);
      if (!existsSync(file)) continue;
      problems.push(`${name} was executed: it wrote ${canary}`);
      if (!before.includes(canary!)) rmSync(file);
    }
  }
  if (problems.length > 0) return problems.map((fact) => ({ ok: false, fact }));
  const count = (valid: boolean) => Object.values(expected).filter((file) => file.valid === valid).length;
  return [{ ok: true, fact: `${count(false)} files refused, ${count(true)} opened` }];
}

/** Of this project, in whichever copy of it. */
function isTyped(error: Error): boolean {
  return error instanceof AirllmError || typeof (error as { code?: unknown }).code === 'string';
}

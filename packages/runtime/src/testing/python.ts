import { execFileSync, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const ENVIRONMENT = fileURLToPath(new URL('../../node_modules/.cache/python', import.meta.url));

/**
 * A Python that has huggingface_hub: the one that AIRLLM_PYTHON_TESTS names, or with the value 1 one that is made below
 * node_modules, which takes the network once. Undefined where the variable is not set.
 */
export function pythonWithHub(): string | undefined {
  const wish = process.env.AIRLLM_PYTHON_TESTS;
  if (!wish || wish === '0') return undefined;
  if (wish !== '1') return wish;
  const python = join(ENVIRONMENT, 'bin', 'python');
  if (!existsSync(python)) {
    execFileSync('python3', ['-m', 'venv', ENVIRONMENT]);
    execFileSync(python, ['-m', 'pip', 'install', '--quiet', 'huggingface_hub']);
  }
  return python;
}

/** Runs a Python program and parses the last line that it prints; rejects with what it said where it fails. */
export async function runPython<T>(python: string, program: string, env: Record<string, string>): Promise<T> {
  const child = spawn(python, ['-c', program], { env: { PATH: process.env.PATH ?? '', ...env } });
  let [out, error] = ['', ''];
  child.stdout.on('data', (chunk) => {
    out += chunk;
  });
  child.stderr.on('data', (chunk) => {
    error += chunk;
  });
  const code = await new Promise((resolve) => child.on('close', resolve));
  if (code !== 0) throw new Error(`python ended with ${code}: ${error}`);
  return JSON.parse(out.trimEnd().split('\n').at(-1)!) as T;
}

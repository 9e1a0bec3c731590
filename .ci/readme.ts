/**
 * Runs the programs printed in a README, so that they stay true.
 *
 *   readmeExamples(path: string | URL): ReadmeExample[]          every ```ts block, in order
 *   example.code: string    example.line: number (1-based, of its first line)
 *   example.run(options?: { cwd?, env?, replace?, timeoutMs? }): Promise<{ stdout: string; stderr: string }>
 *
 * In a package's `src/readme.test.ts` (also from apps, with the same relative path):
 *
 *   import { readmeExamples } from '../../../.ci/readme';
 *   const [first] = readmeExamples(new URL('../README.md', import.meta.url));
 *   const { stdout } = await first!.run({ cwd: folderWithTheFilesTheReadmeNames });
 *
 * A block runs in a Node process of its own, as a module that lies in the README's package: it imports what that
 * package can import, itself by name included, from the built `dist` and not from the sources. Build before testing.
 * A block that must not run (a fragment) is fenced as ```typescript or ```js.
 */
import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';

export interface RunOptions {
  /** Working folder of the program: put the files here that the README names by relative path. Default: a new, empty one. */
  cwd?: string;
  /** Added to the environment. */
  env?: Record<string, string>;
  /** Text replaced before running, e.g. a path that exists only on a reader's machine. Each key must occur. */
  replace?: Record<string, string>;
  /** Default 60 000. */
  timeoutMs?: number;
}

export interface ReadmeExample {
  /** The block as printed. */
  code: string;
  /** Line of the README its first line is on, from 1. */
  line: number;
  /** Runs it; rejects with stdout and stderr in the message when it exits with anything but 0. */
  run(options?: RunOptions): Promise<{ stdout: string; stderr: string }>;
}

/** Every fenced `ts` block of a README. Throws when there is none, since a test of nothing always passes. */
export function readmeExamples(readme: string | URL): ReadmeExample[] {
  const file = typeof readme === 'string' ? path.resolve(readme) : fileURLToPath(readme);
  const examples: ReadmeExample[] = [];
  const lines = readFileSync(file, 'utf8').split(/\r?\n/);
  for (let i = 0; i < lines.length; i++) {
    if (lines[i] !== '```ts') continue;
    const end = lines.indexOf('```', i + 1);
    if (end < 0) throw new Error(`${file}:${i + 1}: this block is never closed`);
    const code = `${lines.slice(i + 1, end).join('\n')}\n`;
    const line = i + 2;
    examples.push({ code, line, run: (options = {}) => runExample(file, line, code, options) });
    i = end;
  }
  if (examples.length === 0) throw new Error(`${file}: no \`\`\`ts block`);
  return examples;
}

function runExample(readme: string, line: number, code: string, options: RunOptions) {
  const name = `${readme}:${line}`;
  let source = code;
  for (const [from, to] of Object.entries(options.replace ?? {})) {
    if (!source.includes(from)) throw new Error(`${name}: "${from}" does not occur, nothing to replace`);
    source = source.replaceAll(from, () => to);
  }
  const { outputText, diagnostics } = ts.transpileModule(source, {
    fileName: 'example.mts',
    reportDiagnostics: true,
    // ESNext module syntax keeps top-level await; the newest target would keep `using`, which Node 20 cannot parse.
    compilerOptions: { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2022 },
  });
  if (diagnostics?.length) {
    throw new Error(
      `${name}: ${diagnostics.map((d) => ts.flattenDiagnosticMessageText(d.messageText, '\n')).join('; ')}`,
    );
  }

  // Inside the package, not in a system temporary folder: that is where its own name and its dependencies resolve.
  const scratch = path.join(path.dirname(readme), '.readme-examples');
  mkdirSync(scratch, { recursive: true });
  const dir = mkdtempSync(path.join(scratch, 'run-'));
  const cwd = options.cwd ?? path.join(dir, 'cwd');
  mkdirSync(cwd, { recursive: true });
  const program = path.join(dir, 'example.mjs');
  writeFileSync(program, outputText);

  return new Promise<{ stdout: string; stderr: string }>((resolve, reject) => {
    const child = spawn(process.execPath, [program], {
      cwd,
      env: { ...process.env, ...options.env },
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: options.timeoutMs ?? 60_000,
      killSignal: 'SIGKILL',
    });
    let stdout = '';
    let stderr = '';
    child.stdout.setEncoding('utf8').on('data', (text) => (stdout += text));
    child.stderr.setEncoding('utf8').on('data', (text) => (stderr += text));
    child.on('error', reject);
    child.on('close', (status, signal) => {
      if (status === 0) resolve({ stdout, stderr });
      else reject(new Error(`${name}: ended with ${signal ?? `exit code ${status}`}\n${stdout}${stderr}`));
    });
  }).finally(() => rmSync(dir, { recursive: true, force: true }));
}

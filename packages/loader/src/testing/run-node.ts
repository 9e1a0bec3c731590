import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';

/** The built package: what a process of its own can import. */
export const dist = fileURLToPath(new URL('../../dist/', import.meta.url));

export interface NodeRun {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
  readonly timedOut: boolean;
}

/** Runs a script in a fresh Node, without the NODE_PATH that pnpm's launchers set. */
export function runNode(
  script: string,
  options: { type?: 'module' | 'commonjs'; cwd?: string } = {},
): Promise<NodeRun> {
  const args = [`--input-type=${options.type ?? 'module'}`, '-e', script];
  return new Promise((resolve) => {
    const child = execFile(
      process.execPath,
      args,
      { cwd: options.cwd ?? dist, timeout: 100_000, env: { ...process.env, NODE_OPTIONS: '', NODE_PATH: '' } },
      (error, stdout, stderr) => resolve({ code: child.exitCode, stdout, stderr, timedOut: error?.killed === true }),
    );
  });
}

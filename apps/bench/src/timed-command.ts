import { spawn } from 'node:child_process';
import { once } from 'node:events';

export interface TimedRun {
  readonly seconds: number;
  /** Processor time of the command, its start and end included. */
  readonly cpuSeconds: number;
  readonly stdout: string;
}

/** Runs a command to its end, under a shell that knows what its children took. Throws where it fails. */
export async function timed(command: readonly string[]): Promise<TimedRun> {
  const started = performance.now();
  const child = spawn('sh', ['-c', '"$@"; code=$?; times >&2; exit $code', 'sh', ...command], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let [stdout, stderr] = ['', ''];
  child.stdout.on('data', (chunk) => {
    stdout += chunk;
  });
  child.stderr.on('data', (chunk) => {
    stderr += chunk;
  });
  const [code] = await once(child, 'close');
  const seconds = (performance.now() - started) / 1000;
  if (code !== 0) throw new Error(`${command.join(' ')} ended with ${code}: ${stderr.trim()}`);
  // The last line is that of the children: `0m0.123s 0m0.456s`.
  const parts = [
    ...stderr
      .trim()
      .split('\n')
      .at(-1)!
      .matchAll(/(\d+)m([\d.]+)s/g),
  ];
  const cpuSeconds = parts.reduce((sum, [, minutes, rest]) => sum + Number(minutes) * 60 + Number(rest), 0);
  return { seconds, cpuSeconds, stdout };
}

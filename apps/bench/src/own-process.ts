import { readFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { type CgroupLimits, type CommandRun, runInCgroup } from './cgroup';

export interface OwnRun<Figures> extends Omit<CommandRun, 'stdout' | 'stderr' | 'code'> {
  readonly figures: Figures;
  /** Cores that everything else on the machine kept busy meanwhile; null where that cannot be told. */
  readonly otherCores: number | null;
}

/** A measured process failed; the message is what it said. */
export class RunError extends Error {
  /** It was killed because its cgroup had no memory left. */
  readonly killedForMemory: boolean;

  constructor(message: string, killedForMemory: boolean) {
    super(message);
    this.name = 'RunError';
    this.killedForMemory = killedForMemory;
  }
}

/** {@link runMeasured} of another bench. */
export function runOwn<Figures>(limits: CgroupLimits, args: readonly string[]): Promise<OwnRun<Figures>> {
  // In the bundle every module lies beside bin.js.
  const entry = path.join(path.dirname(fileURLToPath(import.meta.url)), 'bin.js');
  return runMeasured(limits, [process.execPath, entry, ...args], args.join(' '));
}

/**
 * Runs a command in a process of its own, in a cgroup if there is anything to limit, and reads the figures that it prints
 * as its last line, in JSON. AIRLLM_BENCH_QUIET seconds are first waited for others to come to rest. Throws `RunError`
 * where it fails or is killed.
 */
export async function runMeasured<Figures>(
  limits: CgroupLimits,
  command: readonly string[],
  name: string,
): Promise<OwnRun<Figures>> {
  await waitQuiet(Number(process.env.AIRLLM_BENCH_QUIET ?? 0));
  const busyBefore = busySeconds();
  const start = performance.now();
  const { code, stdout, stderr, ...run } = await runInCgroup(limits, command);
  const seconds = (performance.now() - start) / 1000;
  if (code !== 0) {
    const end = run.oomKills > 0 ? 'was killed for memory' : `ended with ${code}`;
    throw new RunError(`${name} ${end}: ${stderr.trim()}`, run.oomKills > 0);
  }
  const figures = JSON.parse(stdout.trimEnd().split('\n').at(-1)!);
  const busyAfter = busySeconds();
  const otherCores =
    busyBefore === null || busyAfter === null || figures.cpuSeconds === undefined
      ? null
      : Math.max(0, busyAfter - busyBefore - figures.cpuSeconds) / seconds;
  return { ...run, figures, otherCores };
}

/** Waits, for so many seconds at most, until everything on the machine together keeps less than a fifth of a core busy. */
async function waitQuiet(seconds: number): Promise<void> {
  const end = performance.now() + seconds * 1000;
  while (performance.now() < end) {
    const before = busySeconds();
    await setTimeout(1000);
    const after = busySeconds();
    if (before === null || after === null || after - before < 0.2) return;
  }
}

/** Seconds all cores were busy since the machine started (proc(5), in ticks of 10 ms), or null outside Linux. */
function busySeconds(): number | null {
  if (process.platform !== 'linux') return null;
  const [user, nice, system, , , irq, softirq] = readFileSync('/proc/stat', 'utf8')
    .split(/\s+/)
    .slice(1, 9)
    .map(Number);
  return (user! + nice! + system! + irq! + softirq!) / 100;
}

/** For tables: how noisy the machine was at its worst. */
export function noise(runs: readonly { readonly otherCores: number | null }[]): string {
  const known = runs.flatMap(({ otherCores }) => (otherCores === null ? [] : [otherCores]));
  return known.length === 0 ? '–' : Math.max(...known).toFixed(1);
}

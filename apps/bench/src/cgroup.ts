import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';

/** What a command did in its cgroup. */
export interface CgroupRun {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
  /** High-water mark of the cgroup, page cache included. */
  readonly peakBytes: number;
  /** Processes killed because the limit left no other way. */
  readonly oomKills: number;
}

const V1 = '/sys/fs/cgroup/memory';
const V2 = '/sys/fs/cgroup';

/** Why no memory cgroup can be made here, or null if one can. */
export function cgroupObstacle(): string | null {
  if (process.platform !== 'linux') return 'not Linux';
  if (process.getuid?.() !== 0) return 'not root';
  const dir = cgroupDir('probe');
  try {
    mkdirSync(dir);
    rmdirSync(dir);
    return existsSync(V1) || readFileSync(`${V2}/cgroup.subtree_control`, 'utf8').includes('memory')
      ? null
      : 'no memory controller';
  } catch (error) {
    return (error as Error).message;
  }
}

/** Writes everything back and empties the page cache, so that the next read comes from the drive. Needs root. */
export function dropCaches(): void {
  writeFileSync('/proc/sys/vm/drop_caches', '3');
}

/** Runs a command in a memory cgroup of its own, in which page cache counts too. Needs root. */
export async function runInCgroup(
  limitBytes: number,
  command: readonly string[],
  options: { cwd?: string; env?: NodeJS.ProcessEnv } = {},
): Promise<CgroupRun> {
  const dir = cgroupDir(String(process.pid));
  const v1 = existsSync(V1);
  mkdirSync(dir);
  try {
    writeFileSync(`${dir}/${v1 ? 'memory.limit_in_bytes' : 'memory.max'}`, String(limitBytes));
    // The shell moves itself in before it becomes the command: nothing is counted elsewhere.
    const script = `echo $$ > '${dir}/cgroup.procs' && exec "$@"`;
    const { code, stdout, stderr } = await run(['/bin/sh', '-c', script, 'sh', ...command], options);
    const read = (name: string) => readFileSync(`${dir}/${name}`, 'utf8');
    return {
      code,
      stdout,
      stderr,
      peakBytes: Number(read(v1 ? 'memory.max_usage_in_bytes' : 'memory.peak')),
      oomKills: Number(/^oom_kill (\d+)/m.exec(read(v1 ? 'memory.oom_control' : 'memory.events'))?.[1] ?? 0),
    };
  } finally {
    rmdirSync(dir);
  }
}

function cgroupDir(name: string): string {
  return `${existsSync(V1) ? V1 : V2}/airllm-${name}`;
}

function run(command: readonly string[], options: { cwd?: string; env?: NodeJS.ProcessEnv }) {
  return new Promise<{ code: number | null; stdout: string; stderr: string }>((resolve, reject) => {
    const child = spawn(command[0]!, command.slice(1), { ...options, stdio: ['ignore', 'pipe', 'pipe'] });
    let stdout = '';
    let stderr = '';
    child.stdout.on('data', (chunk) => {
      stdout += chunk;
    });
    child.stderr.on('data', (chunk) => {
      stderr += chunk;
    });
    child.on('error', reject);
    child.on('close', (code) => resolve({ code, stdout, stderr }));
  });
}

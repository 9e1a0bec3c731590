import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, realpathSync, rmdirSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

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
const V1_IO = '/sys/fs/cgroup/blkio';
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

export interface CgroupLimits {
  /** Memory, page cache included. */
  readonly memory?: number | undefined;
  /** Bytes per second read from a drive: a cap below what it can do makes a drifting drive a steady one. */
  readonly read?: { readonly bytesPerSecond: number; readonly path: string } | undefined;
}

/** Runs a command in a cgroup of its own. Needs root. */
export async function runInCgroup(
  limits: CgroupLimits,
  command: readonly string[],
  options: { cwd?: string; env?: NodeJS.ProcessEnv } = {},
): Promise<CgroupRun> {
  const v1 = existsSync(V1);
  const name = `airllm-${process.pid}`;
  const memory = join(v1 ? V1 : V2, name);
  const io = v1 ? join(V1_IO, name) : memory;
  const groups = [...new Set([memory, io])];
  for (const dir of groups) mkdirSync(dir);
  try {
    if (limits.memory !== undefined) {
      writeFileSync(join(memory, v1 ? 'memory.limit_in_bytes' : 'memory.max'), String(limits.memory));
    }
    if (limits.read !== undefined) {
      const { bytesPerSecond, path } = limits.read;
      const value = v1 ? `${device(path)} ${bytesPerSecond}` : `${device(path)} rbps=${bytesPerSecond}`;
      writeFileSync(join(io, v1 ? 'blkio.throttle.read_bps_device' : 'io.max'), value);
    }
    // The shell moves itself in before it becomes the command: nothing is counted elsewhere.
    const enter = groups.map((dir) => `echo $$ > '${dir}/cgroup.procs' && `).join('');
    const { code, stdout, stderr } = await run(['/bin/sh', '-c', `${enter}exec "$@"`, 'sh', ...command], options);
    const read = (file: string) => readFileSync(join(memory, file), 'utf8');
    return {
      code,
      stdout,
      stderr,
      peakBytes: Number(read(v1 ? 'memory.max_usage_in_bytes' : 'memory.peak')),
      oomKills: Number(/^oom_kill (\d+)/m.exec(read(v1 ? 'memory.oom_control' : 'memory.events'))?.[1] ?? 0),
    };
  } finally {
    for (const dir of groups) rmdirSync(dir);
  }
}

/** `major:minor` of the whole drive that holds a path. */
function device(path: string): string {
  const { dev } = statSync(path);
  const major = ((dev >> 8) & 0xfff) | ((dev / 2 ** 32) & ~0xfff);
  const minor = (dev & 0xff) | ((dev >> 12) & 0xfff00);
  const block = realpathSync(`/sys/dev/block/${major}:${minor}`);
  const drive = existsSync(join(block, 'partition')) ? dirname(block) : block;
  return readFileSync(join(drive, 'dev'), 'utf8').trim();
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

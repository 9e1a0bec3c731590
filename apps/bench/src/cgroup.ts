import { execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, realpathSync, rmdirSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout } from 'node:timers/promises';

/** What a command did. */
export interface CommandRun {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
  /** When it was started, in milliseconds since the epoch: what a process knows of itself starts later. */
  readonly startedAt: number;
  /** High-water mark of the cgroup, page cache included; 0 without one. */
  readonly peakBytes: number;
  /** Processes killed because the limit left no other way. */
  readonly oomKills: number;
}

const V1 = '/sys/fs/cgroup/memory';
const V1_IO = '/sys/fs/cgroup/blkio';
const V2 = '/sys/fs/cgroup';

/** Why the page cache cannot be emptied here, or null if it can. */
export function dropObstacle(): string | null {
  return process.platform === 'linux' && process.getuid?.() === 0 ? null : 'needs Linux and root';
}

/** Why no memory cgroup can be made here, or null if one can. */
export function cgroupObstacle(): string | null {
  if (process.platform !== 'linux') return 'not Linux';
  if (process.getuid?.() !== 0) return 'not root';
  const v1 = existsSync(V1);
  const dir = join(v1 ? V1 : V2, groupName());
  try {
    mkdirSync(dir);
    const hasPeak = existsSync(join(dir, peakFile(v1)));
    rmdirSync(dir);
    return hasPeak ? null : 'no memory controller that knows a peak';
  } catch (error) {
    return (error as Error).message;
  }
}

/** Writes everything back and empties the page cache, so that the next read comes from the drive. Needs root. */
export function dropCaches(): void {
  // What is not yet written cannot be dropped.
  execFileSync('sync');
  writeFileSync('/proc/sys/vm/drop_caches', '3');
}

export interface CgroupLimits {
  /** Memory, page cache included. */
  readonly memory?: number | undefined;
  /** Bytes per second read from a drive: a cap below what it can do makes a drifting drive a steady one. */
  readonly read?: { readonly bytesPerSecond: number; readonly path: string } | undefined;
}

/** Runs a command in a cgroup of its own, which needs root; without limits it is merely run. */
export async function runInCgroup(
  limits: CgroupLimits,
  command: readonly string[],
  options: { cwd?: string; env?: NodeJS.ProcessEnv } = {},
): Promise<CommandRun> {
  if (limits.memory === undefined && limits.read === undefined) {
    return { ...(await run(command, options)), peakBytes: 0, oomKills: 0 };
  }
  const v1 = existsSync(V1);
  const name = groupName();
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
    const ended = await run(['/bin/sh', '-c', `${enter}exec "$@"`, 'sh', ...command], options);
    const read = (file: string) => readFileSync(join(memory, file), 'utf8');
    return {
      ...ended,
      peakBytes: Number(read(peakFile(v1))),
      oomKills: Number(/^oom_kill (\d+)/m.exec(read(v1 ? 'memory.oom_control' : 'memory.events'))?.[1] ?? 0),
    };
  } finally {
    for (const dir of groups) await removeGroup(dir);
  }
}

/** The kernel needs a moment before it takes a process that ended for gone. */
async function removeGroup(dir: string): Promise<void> {
  for (let attempt = 0; ; attempt++) {
    try {
      rmdirSync(dir);
      return;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EBUSY' || attempt === 50) throw error;
      await setTimeout(100);
    }
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

/** Of a group of this process alone: one that was killed may have left its own. */
function groupName(): string {
  return `airllm-${process.pid}-${Date.now().toString(36)}`;
}

function peakFile(v1: boolean): string {
  return v1 ? 'memory.max_usage_in_bytes' : 'memory.peak';
}

function run(command: readonly string[], options: { cwd?: string; env?: NodeJS.ProcessEnv }) {
  return new Promise<Omit<CommandRun, 'peakBytes' | 'oomKills'>>((resolve, reject) => {
    const startedAt = performance.timeOrigin + performance.now();
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
    child.on('close', (code) => resolve({ code, stdout, stderr, startedAt }));
  });
}

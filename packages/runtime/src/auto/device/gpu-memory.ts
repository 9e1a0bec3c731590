import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';

/** Where the machine tells of its graphics cards; others only for tests. */
export interface GpuSources {
  /** Runs a program and resolves to what it prints; rejects where it is not there. */
  readonly run: (command: string, args: readonly string[]) => Promise<string>;
  readonly sysfs: string;
  readonly dev: string;
  readonly platform: NodeJS.Platform;
  readonly env: Readonly<Record<string, string | undefined>>;
}

const MIB = 2 ** 20;
/** A driver that hangs must not keep anybody from a run on the CPU. */
const ANSWER_MS = 3000;

/** Looked at when it is asked for. */
const here = (): GpuSources => ({
  run: (command, args) =>
    new Promise((resolve, reject) => {
      execFile(command, [...args], { timeout: ANSWER_MS }, (error, stdout) =>
        error ? reject(error) : resolve(stdout),
      );
    }),
  sysfs: '/sys/class/drm',
  dev: '/dev',
  platform: process.platform,
  env: process.env,
});

/**
 * Whether this machine can have a GPU at all: on Linux one has a device file (or a Vulkan driver is named that computes
 * without). Cheap, so that runs without a GPU need not load its runtime to find out.
 */
export async function mayHaveGpu(sources: GpuSources = here()): Promise<boolean> {
  const { platform, env, dev } = sources;
  if (platform !== 'linux' || env.VK_ICD_FILENAMES !== undefined || env.VK_DRIVER_FILES !== undefined) return true;
  const nodes = await readdir(join(dev, 'dri')).catch(() => []);
  return nodes.some((name) => name.startsWith('renderD')) || existsSync(join(dev, 'nvidiactl'));
}

/**
 * Bytes free on the largest graphics card, by nvidia-smi or the kernel's amdgpu; null where nothing tells (WebGPU does
 * not).
 */
export async function freeGpuMemory(sources: GpuSources = here()): Promise<number | null> {
  const found = [...(await nvidia(sources)), ...(await amd(sources))];
  return found.length === 0 ? null : Math.max(...found);
}

async function nvidia({ run }: GpuSources): Promise<number[]> {
  const query = ['--query-gpu=memory.free', '--format=csv,noheader,nounits'];
  const text = await run('nvidia-smi', query).catch(() => '');
  return text
    .split('\n')
    .map((line) => Number.parseInt(line, 10) * MIB)
    .filter((bytes) => bytes > 0);
}

async function amd({ sysfs }: GpuSources): Promise<number[]> {
  const cards = (await readdir(sysfs).catch(() => [])).filter((name) => /^card\d+$/.test(name));
  const read = async (card: string, name: string) => Number(await readFile(join(sysfs, card, 'device', name), 'utf8'));
  const free = cards.map(
    async (card) => (await read(card, 'mem_info_vram_total')) - (await read(card, 'mem_info_vram_used')),
  );
  const settled = await Promise.allSettled(free);
  return settled.flatMap((result) => (result.status === 'fulfilled' && result.value > 0 ? [result.value] : []));
}

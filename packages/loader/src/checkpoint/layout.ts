import { readdir, stat } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { UnsupportedCheckpointError } from '../errors';
import { openFailure } from '../system-errors';
import { type LayeredManifest, MANIFEST_FILE, readManifest } from './manifest';
import { readWeightIndex, type WeightIndex } from './weight-index';

/** How a checkpoint's weights are laid out on disk. */
export type CheckpointLayout =
  | { readonly layout: 'single'; readonly dir: string; readonly file: string }
  | { readonly layout: 'sharded'; readonly dir: string; readonly index: WeightIndex }
  | { readonly layout: 'layered'; readonly dir: string; readonly manifest: LayeredManifest };

const INDEX_SUFFIX = '.safetensors.index.json';
const WEIGHT_FILE = /\.(safetensors|bin|gguf|pt|pth|ckpt|h5|msgpack|npz|onnx|tflite)$|\.index\.json$/;

/**
 * Finds a checkpoint's layout from a folder, a safetensors file, or an index. As transformers does, `model.safetensors`
 * goes before an index. `absent` names files that the folder will have. Throws `MissingFileError`,
 * `UnsupportedCheckpointError`, `FormatError`.
 */
export async function findLayout(dirOrFile: string, absent: Iterable<string> = []): Promise<CheckpointLayout> {
  const path = resolve(dirOrFile);
  if (!(await isDirectory(path))) return fileLayout(path);
  const manifest = await readManifest(join(path, MANIFEST_FILE));
  if (manifest !== null) return { layout: 'layered', dir: path, manifest };
  const names = [...new Set([...(await readdir(path)), ...absent])].sort();
  if (names.includes('model.safetensors')) return single(path, 'model.safetensors');
  const index = theIndex(names);
  if (index !== undefined) return { layout: 'sharded', dir: path, index: await readWeightIndex(join(path, index)) };
  const found = names.filter((name) => WEIGHT_FILE.test(name) && name !== 'training_args.bin');
  // Beside weights of another kind, a file of an unexpected name is hardly the model.
  if (found.length === 1 && found[0]!.endsWith('.safetensors')) return single(path, found[0]!);
  throw new UnsupportedCheckpointError({ dir: path, found, reason: reasonFor(found) });
}

/** The index of a folder: the usual name, else the only one (transformers' variants: `model.fp16.safetensors…`). */
export function theIndex(names: readonly string[], suffix: string = INDEX_SUFFIX): string | undefined {
  const indexes = names.filter((name) => name.endsWith(suffix));
  return indexes.find((name) => name === `model${INDEX_SUFFIX}`) ?? (indexes.length === 1 ? indexes[0] : undefined);
}

async function fileLayout(path: string): Promise<CheckpointLayout> {
  const name = basename(path);
  if (name.endsWith(INDEX_SUFFIX)) {
    return { layout: 'sharded', dir: dirname(path), index: await readWeightIndex(path) };
  }
  if (name.endsWith('.safetensors')) return single(dirname(path), name);
  throw new UnsupportedCheckpointError({
    dir: dirname(path),
    found: [name],
    reason: `${name} is neither a folder nor a .safetensors file nor a ${INDEX_SUFFIX} file`,
  });
}

function single(dir: string, name: string): CheckpointLayout {
  return { layout: 'single', dir, file: join(dir, name) };
}

async function isDirectory(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory();
  } catch (cause) {
    throw openFailure(path, cause);
  }
}

function reasonFor(found: readonly string[]): string {
  const safetensors = found.filter((name) => name.endsWith('.safetensors'));
  const list = found.length > 5 ? `${found.slice(0, 5).join(', ')} and ${found.length - 5} more` : found.join(', ');
  if (found.length === 0) return 'no weights here: expected model.safetensors or model.safetensors.index.json';
  if (safetensors.length > 1 && safetensors.length === found.length) {
    return `several .safetensors files (${list}) but no model${INDEX_SUFFIX} that says which belong together: add it`;
  }
  return `found ${list}, but no model.safetensors: convert it, or download the safetensors version`;
}

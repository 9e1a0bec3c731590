import { stat } from 'node:fs/promises';
import path from 'node:path';
import { type AbsentFiles, type MetaTensor, openCheckpoint } from '@airllm/loader';
import { stridedConversion } from './codecs/strided';
import { chooseGguf } from './gguf/open-gguf';
import { openPickleCheckpoint } from './pickle/open-pickle-checkpoint';
import { isStridedTensor } from './pickle/pickle-tensor';
import { findWeightFiles } from './pickle/weight-files';
import type { Conversion, SourceKind } from './source';

/** The tensors of a folder or file as they are stored, before anybody has said what they mean. */
export interface StoredCheckpoint {
  readonly kind: Exclude<SourceKind, 'gguf'>;
  readonly dir: string;
  readonly files: readonly string[];
  readonly config: Record<string, unknown> | null;
  readonly tensors: ReadonlyMap<string, MetaTensor>;
  /** Views of a pickle that are in no order that can be read as it is. */
  readonly views: readonly Conversion[];
  /** `__metadata__` of each file, parallel to `files`; of pickles none. */
  readonly metadata: readonly ReadonlyMap<string, string>[];
}

type Options = { absent?: AbsentFiles | undefined; signal?: AbortSignal | undefined };

/** What is to be opened: `path` is a folder only where its safetensors are meant. */
export interface FoundSource {
  readonly format: 'safetensors' | 'pickle' | 'gguf';
  readonly path: string;
}

const PICKLE_FILE = /\.(?:bin|pt|pth|ckpt)$|\.bin\.index(?:\.[\w-]+)?\.json$/;
/** A safetensors file of another name may be an adapter, so weights of another kind with the usual name go first. */
const USUAL_SAFETENSORS = /^model\.safetensors$|\.safetensors\.index\.json$/;

/**
 * Which weights a path means: safetensors go before pickles, and these before GGUF. Throws as `findWeightFiles` and
 * `chooseGguf`.
 */
export async function findSource(dirOrFile: string, absent: Iterable<string> = []): Promise<FoundSource> {
  const found = path.resolve(dirOrFile);
  const isFolder = (await stat(found).catch(() => undefined))?.isDirectory();
  if (!isFolder) {
    if (found.endsWith('.gguf')) return { format: 'gguf', path: found };
    return { format: PICKLE_FILE.test(found) ? 'pickle' : 'safetensors', path: found };
  }
  const { entries, gguf } = await findWeightFiles(found, absent);
  const usual = entries.safetensors !== undefined && USUAL_SAFETENSORS.test(entries.safetensors);
  if (!usual) {
    if (entries.pickle !== undefined) return { format: 'pickle', path: path.join(found, entries.pickle) };
    if (gguf.length > 0) return { format: 'gguf', path: path.join(found, chooseGguf(found, gguf)) };
  }
  return { format: 'safetensors', path: found };
}

/** Throws as `openCheckpoint` and `openPickleCheckpoint` do. */
export async function openStored(found: FoundSource, options: Options): Promise<StoredCheckpoint> {
  return found.format === 'pickle' ? openPickles(found.path, options) : openSafetensorsFiles(found.path, options);
}

async function openSafetensorsFiles(dirOrFile: string, options: Options): Promise<StoredCheckpoint> {
  const { dir, layout, config, files, tensors, metadata } = await openCheckpoint(dirOrFile, options);
  return { kind: layout === 'layered' ? 'shards' : 'safetensors', dir, files, config, tensors, views: [], metadata };
}

async function openPickles(file: string, options: Options): Promise<StoredCheckpoint> {
  const { dir, files, config, tensors: all } = await openPickleCheckpoint(file, options);
  const tensors = new Map<string, MetaTensor>();
  const views: Conversion[] = [];
  for (const [name, tensor] of all) {
    if (isStridedTensor(tensor)) views.push(stridedConversion(tensor));
    else tensors.set(name, tensor);
  }
  return { kind: 'pickle', dir, files, config, tensors, views, metadata: files.map(() => new Map()) };
}

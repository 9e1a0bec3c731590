import { isAbsolute } from 'node:path';
import { FormatError } from '../errors';
import type { JsonValue } from '../strict-json';
import { readRequired } from './read-json';

/** What `model.safetensors.index.json` says. */
export interface WeightIndex {
  readonly file: string;
  /** Tensor name to file name, relative to the index. */
  readonly weightMap: ReadonlyMap<string, string>;
  /** `metadata.total_size`: bytes of all tensors, where the publisher gave it. Often wrong, never relied on. */
  readonly totalBytes: number | null;
}

/** Reads a sharded checkpoint's index. Throws `FormatError`, `MissingFileError`, `ReadError`. */
export async function readWeightIndex(file: string): Promise<WeightIndex> {
  const root = await readRequired(file);
  const entries = root.get('weight_map');
  if (!(entries instanceof Map)) throw new FormatError({ file, reason: 'weight_map must be an object' });
  const weightMap = new Map<string, string>();
  for (const [tensor, shard] of entries) {
    const reason = fileNameFault(shard);
    if (reason !== undefined) throw new FormatError({ file, tensor, reason });
    weightMap.set(tensor, shard as string);
  }
  return { file, weightMap, totalBytes: totalSize(root.get('metadata')) };
}

/** Names come from a download: none may lead out of its folder. */
export function fileNameFault(name: unknown): string | undefined {
  if (typeof name !== 'string' || name === '') return 'its file must be a name';
  const leadsOut = isAbsolute(name) || /^[a-zA-Z]:/.test(name) || name.split(/[\\/]/).includes('..');
  if (leadsOut) return `its file ${JSON.stringify(name)} leads out of the folder`;
  const printable = [...name].every((character) => character >= ' ');
  return printable ? undefined : `its file ${JSON.stringify(name)} has control characters`;
}

function totalSize(metadata: JsonValue | undefined): number | null {
  const size = metadata instanceof Map ? metadata.get('total_size') : undefined;
  return typeof size === 'number' && Number.isSafeInteger(size) && size >= 0 ? size : null;
}

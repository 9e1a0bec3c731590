import { MetaTensor } from '../meta-tensor';
import type { HeaderTensor, SafetensorsHeader } from './parse-header';
import { readSafetensorsHeader } from './read-header';

/** A safetensors file of which only the header was read. */
export interface SafetensorsFile {
  readonly file: string;
  /** Bytes of the whole file. */
  readonly fileBytes: number;
  readonly metadata: ReadonlyMap<string, string>;
  /** By name, in the order of their bytes in the file. */
  readonly tensors: ReadonlyMap<string, MetaTensor>;
}

/** Opens a safetensors file. Throws `FormatError`, `ReadError`, `MissingFileError`. */
export async function openSafetensors(path: string): Promise<SafetensorsFile> {
  return metaFile(await readSafetensorsHeader(path));
}

export function metaFile(header: SafetensorsHeader): SafetensorsFile {
  const { file, fileBytes, metadata } = header;
  const tensors = new Map(header.tensors.map((tensor) => [tensor.name, metaTensor(file, tensor)]));
  return { file, fileBytes, metadata, tensors };
}

function metaTensor(file: string, tensor: HeaderTensor): MetaTensor {
  const { name, dtype, shape, begin, end } = tensor;
  return new MetaTensor({ name, dtype, shape, extent: { file, offset: begin, length: end - begin } });
}

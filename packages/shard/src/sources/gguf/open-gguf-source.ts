import { dirname } from 'node:path';
import type { ModelSource } from '../source';
import { mapTensors, unmappedTensors } from './map-tensors';
import { type Gguf, openGguf } from './open-gguf';
import { readGgufConfig } from './read-config';
import { tokenizerFiles } from './tokenizer/tokenizer-files';

/**
 * Opens a GGUF model: its configuration, tokenizer and tensors as transformers would have them. Throws `FormatError`,
 * `MissingFileError`, `ReadError`, `UnsupportedCheckpointError`, or the signal's reason.
 */
export async function openGgufSource(
  file: string,
  options: { signal?: AbortSignal | undefined } = {},
): Promise<ModelSource> {
  const gguf = await openGguf(file, options);
  const config = describesModel(gguf) ? await readGgufConfig(gguf) : null;
  const tensors = config === null ? unmappedTensors(gguf) : mapTensors(gguf, config);
  const extras = await tokenizerFiles(gguf.metadata);
  return {
    kind: 'gguf',
    dir: dirname(gguf.files[0]!),
    files: gguf.files,
    config,
    quantisation: 'gguf',
    tensors,
    extras,
  };
}

/** Files with tensors alone (an importance matrix, an export) name no architecture, or say nothing about it. */
function describesModel({ metadata }: Gguf): boolean {
  const architecture = metadata.string('general.architecture');
  return architecture !== undefined && [...metadata.keys()].some((key) => key.startsWith(`${architecture}.`));
}

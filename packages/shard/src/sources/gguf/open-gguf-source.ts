import { dirname } from 'node:path';
import { type AbsentFiles, AbsentFolder } from '@airllm/loader';
import type { ModelSource } from '../source';
import { SourceFiles } from '../source-files';
import { mapTensors, unmappedTensors } from './map-tensors';
import { type Gguf, openGguf } from './open-gguf';
import { readGgufConfig } from './read-config';
import { tokenizerFiles } from './tokenizer/tokenizer-files';

export interface OpenGgufOptions {
  /** Parts that the folder will have: of these, headers are read from where they are. */
  readonly absent?: AbsentFiles | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Opens a GGUF model: its configuration, tokenizer and tensors as transformers would have them. Throws `FormatError`,
 * `MissingFileError`, `ReadError`, `UnsupportedCheckpointError`, or the signal's reason.
 */
export async function openGgufSource(file: string, options: OpenGgufOptions = {}): Promise<ModelSource> {
  const { absent, signal } = options;
  const folder = absent && new AbsentFolder(dirname(file), absent);
  const gguf = await openGguf(file, new SourceFiles({ absent: folder, signal }));
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

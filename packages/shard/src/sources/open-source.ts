import { type AbsentFiles, AbsentFolder } from '@airllm/loader';
import { openGgufSource } from './gguf/open-gguf-source';
import { OWN_METHOD, withoutQuantisation } from './quantisation-config';
import { rawCheckpoint } from './raw-checkpoint';
import { resolveTensors } from './resolve-tensors';
import { SmallReads } from './small-reads';
import type { ModelSource } from './source';
import { findSource, openStored } from './stored-checkpoint';

/** What `openSource` takes beside the path. */
export interface OpenSourceOptions {
  /**
   * Files with weights that the folder (of a file: the folder it is in) will have: of these, what describes the tensors is
   * read from where they are. A GGUF header with a large vocabulary has up to 13 MB, the others a few kB.
   */
  readonly absent?: AbsentFiles | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Opens a model as somebody published it: a folder with safetensors (one file, several with an index, or one per layer
 * as a split leaves them), else PyTorch pickles, else GGUF; or one such file. Reads headers, configuration and what
 * describes quantised tensors; no weights.
 *
 * Throws as `openCheckpoint` does; `FormatError` and `UnsupportedCheckpointError` also for quantised tensors that make
 * no sense or are of an unknown kind; `UnsafePickleError`; the signal's reason.
 */
export async function openSource(dirOrFile: string, options: OpenSourceOptions = {}): Promise<ModelSource> {
  const { absent, signal } = options;
  signal?.throwIfAborted();
  const found = await findSource(dirOrFile, absent?.sizes.keys());
  if (found.format === 'gguf') return openGgufSource(found.path, { absent, signal });
  const stored = await openStored(found, { absent, signal });
  const reads = new SmallReads(signal, absent && new AbsentFolder(stored.dir, absent));
  try {
    const raw = await rawCheckpoint(stored, reads);
    const { tensors, formats } = await resolveTensors(stored, raw);
    const { kind, dir, files } = stored;
    const quantisation = formats.length > 0 ? formats.join('+') : ownQuantisation(raw.quantisation);
    const config = withoutQuantisation(stored.config);
    return { kind, dir, files, config, quantisation, tensors, extras: new Map() };
  } finally {
    await reads.close();
  }
}

/** What a split has noted: see `configText`. */
function ownQuantisation(quantisation: Record<string, unknown> | null): string | null {
  if (quantisation?.quant_method !== OWN_METHOD) return null;
  return typeof quantisation.source === 'string' ? quantisation.source : OWN_METHOD;
}

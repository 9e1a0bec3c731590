import { openCheckpoint } from '@airllm/loader';
import type { ModelSource } from './source';

export interface OpenSourceOptions {
  readonly signal?: AbortSignal | undefined;
}

/** Opens a model as it was published: reads headers and configuration. Throws as `openCheckpoint` does. */
export async function openSource(dirOrFile: string, options: OpenSourceOptions = {}): Promise<ModelSource> {
  const { dir, layout, config, files, tensors } = await openCheckpoint(dirOrFile, { signal: options.signal });
  const kind = layout === 'layered' ? 'shards' : 'safetensors';
  return { kind, dir, files, config, quantisation: null, tensors, extras: new Map() };
}

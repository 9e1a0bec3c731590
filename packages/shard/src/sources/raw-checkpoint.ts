import path from 'node:path';
import { FormatError, type MetaTensor, readConfigFile } from '@airllm/loader';
import { findQuantisation } from './quantisation-config';
import type { SmallReads } from './small-reads';
import type { RawCheckpoint } from './source';
import type { StoredCheckpoint } from './stored-checkpoint';

/** Blobs and tables that describe a tensor; scales are left to codecs. */
const LARGEST_READ = 1 << 20;

/** What formats look at. */
export async function rawCheckpoint(
  { dir, config, tensors, metadata }: StoredCheckpoint,
  reads: SmallReads,
): Promise<RawCheckpoint> {
  return {
    dir,
    config,
    quantisation: await findQuantisation(dir, config),
    tensors,
    metadata: new Map(metadata.flatMap((entries) => [...entries])),
    read: (tensor) => readSmall(tensor, reads),
    readJson: (name) => readConfigFile(path.join(dir, name)),
  };
}

async function readSmall({ name, byteLength, extent, literal }: MetaTensor, reads: SmallReads): Promise<Uint8Array> {
  if (literal !== undefined) return literal;
  const file = extent?.file ?? '(nowhere)';
  if (extent === undefined) throw new FormatError({ file, tensor: name, reason: 'it has no bytes' });
  if (byteLength <= LARGEST_READ) return reads.read(extent);
  const reason = `${byteLength} bytes are too many for what describes a tensor; at most ${LARGEST_READ} are accepted`;
  throw new FormatError({ file, tensor: name, reason });
}

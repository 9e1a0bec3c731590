import { closeSync, openSync, readSync } from 'node:fs';
import type { Extent, MetaTensor } from '@airllm/loader';
import type { StridedTensor } from '../sources/pickle/pickle-tensor';
import { readStrided } from '../sources/pickle/read-strided';

/** The bytes of a tensor in order, wherever it lies. */
export async function readTensor(tensor: MetaTensor | StridedTensor): Promise<Buffer> {
  if (!('strides' in tensor)) return readExtent(tensor.extent!);
  const rows = {
    start: 0,
    end: tensor.shape.length === 1 ? tensor.shape[0]! : tensor.elementCount / tensor.shape.at(-1)!,
  };
  const bytes = await readStrided(tensor, rows, (extent, into) => into.set(readExtent(extent)));
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

export function readExtent({ file, offset, length }: Extent): Buffer {
  const handle = openSync(file, 'r');
  try {
    const bytes = Buffer.alloc(length);
    const found = readSync(handle, bytes, 0, length, offset);
    if (found !== length) throw new Error(`${file}: ${found} of ${length} bytes at ${offset}`);
    return bytes;
  } finally {
    closeSync(handle);
  }
}

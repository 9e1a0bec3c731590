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

function readExtent({ file, offset, length }: Extent): Buffer {
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

/** What gathering must give, one element after the other; `bytes` begin with the view's first element. */
export function gatherSlowly(tensor: StridedTensor, bytes: Uint8Array): Buffer {
  const { shape, strides, byteLength, elementCount } = tensor;
  const width = byteLength / elementCount;
  const out = Buffer.alloc(byteLength);
  for (let i = 0; i < elementCount; i++) {
    let rest = i;
    let at = 0;
    for (let d = shape.length - 1; d >= 0; d--) {
      at += (rest % shape[d]!) * strides[d]!;
      rest = Math.floor(rest / shape[d]!);
    }
    out.set(bytes.subarray(at * width, (at + 1) * width), i * width);
  }
  return out;
}

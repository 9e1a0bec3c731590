import { closeSync, openSync, readSync } from 'node:fs';
import {
  COMPONENTS,
  type ComponentName,
  componentShape,
  componentShapes,
  componentsOf,
  floats,
  PackedDecoder,
} from '@airllm/kernels';
import { MetaTensor, tensorBytes } from '@airllm/loader';
import { ggufCodec } from '../sources/gguf/gguf-codec';
import { type Conversion, isConversion, type OutputName, type SourceTensor } from '../sources/source';

/** All outputs of a conversion, `step` steps of rows at a time, with the codec's reads checked against its inputs. */
export function convertWhole(conversion: Conversion, step = 1): Partial<Record<OutputName, Uint8Array>> {
  const { shape, params, output, inputs } = conversion;
  const rows = shape.length === 1 ? 1 : shape[0]!;
  const whole: Partial<Record<OutputName, Uint8Array>> = {};
  if ('dtype' in output) whole.dense = new Uint8Array(tensorBytes(output.dtype, shape));
  else {
    const shapes = componentShapes(output.format, shape);
    for (const name of componentsOf(output.format)) {
      if (name === 'constants') continue;
      const { dtypes, count } = shapes[name]!;
      // Every output of ggml's blocks is row by row, or parts of it could not be asked for.
      if (componentShape(output.format, shape, name).length !== 2) throw new Error(`${name} is not row by row`);
      whole[name] = new Uint8Array(tensorBytes(dtypes[0]!, [count]));
    }
  }
  const by = ggufCodec.rowStep({ params, shape }) * step;
  for (let from = 0; from < rows; from += by) {
    const to = Math.min(rows, from + by);
    const part = (bytes: Uint8Array) => bytes.subarray((bytes.length / rows) * from, (bytes.length / rows) * to);
    const out = Object.fromEntries(Object.entries(whole).map(([name, bytes]) => [name, part(bytes)]));
    const read = (input: string, byteOffset: number, byteLength: number) => {
      return readExtent(inputs[input]!, byteOffset, byteLength);
    };
    ggufCodec.convertRows({ params, shape, from, to, read, out });
  }
  return whole;
}

/** The first rows of a tensor as float32, converted if need be. */
export async function decodeRows(tensor: SourceTensor, rows: number): Promise<Float32Array> {
  if (!isConversion(tensor)) {
    if (!MetaTensor.isInstance(tensor)) throw new Error('a packed tensor in a GGUF file');
    const bytes = readExtent(tensor, 0, tensor.byteLength);
    return floats(tensor.dtype, bytes).subarray(0, (tensor.elementCount / tensor.shape[0]!) * rows);
  }
  const whole = convertWhole(tensor, 3);
  const { output, shape } = tensor;
  const columns = shape[1] ?? 1;
  if ('dtype' in output) return floats(output.dtype, whole.dense!).subarray(0, rows * columns);
  const bytes: Partial<Record<ComponentName, Uint8Array>> = { ...whole } as never;
  if (output.constants)
    bytes.constants = new Uint8Array(output.constants.buffer, output.constants.byteOffset, output.constants.byteLength);
  const decoder = new PackedDecoder({
    format: output.format,
    columns,
    firstRow: 0,
    bytes,
    rowwise: new Set(COMPONENTS),
  });
  const out = new Float32Array(rows * columns);
  for (let row = 0; row < rows; row++) decoder.row(row, out.subarray(row * columns, (row + 1) * columns));
  return out;
}

function readExtent({ name, extent }: MetaTensor, byteOffset: number, byteLength: number): Uint8Array {
  if (extent === undefined || byteOffset < 0 || byteOffset + byteLength > extent.length) {
    throw new Error(`${name}: a read of ${byteLength} bytes at ${byteOffset} leaves it`);
  }
  const bytes = new Uint8Array(byteLength);
  const handle = openSync(extent.file, 'r');
  try {
    if (readSync(handle, bytes, 0, byteLength, extent.offset + byteOffset) !== byteLength)
      throw new Error('short read');
  } finally {
    closeSync(handle);
  }
  return bytes;
}

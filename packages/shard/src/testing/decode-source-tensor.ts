import { readFileSync } from 'node:fs';
import {
  type ComponentName,
  componentShape,
  componentsOf,
  floats,
  PackedDecoder,
  type PackedFormat,
} from '@airllm/kernels';
import { MetaTensor } from '@airllm/loader';
import { type ConversionPart, conversionParts, convertRanges, rowCount } from '../sources/convert';
import { type Codec, type Conversion, isConversion, type OutputName, type SourceTensor } from '../sources/source';

type PackedBytes = Partial<Record<ComponentName, Uint8Array>>;

/**
 * The numbers of a tensor, row-major, whatever it is: dense as stored, packed and run in place, or to be converted.
 * Conversions run in memory, twice: all rows at once, and one step of rows and one component at a time; throws where
 * the two differ in any byte.
 */
export async function decodeSourceTensor(tensor: SourceTensor, codecs: Iterable<Codec>): Promise<Float32Array> {
  if (!isConversion(tensor)) {
    if (MetaTensor.isInstance(tensor)) return denseNumbers(tensor.dtype, bytesOf(tensor));
    const bytes = Object.fromEntries(tensor.parts().map(([name, part]) => [name, bytesOf(part)]));
    const rowwise = tensor.parts().filter(([, part]) => part.shape.length === 2);
    return decodePacked(tensor.format, tensor.shape, bytes, new Set(rowwise.map(([name]) => name)));
  }
  const outputs = convertInMemory(tensor, codecs);
  const { output, shape } = tensor;
  if ('dtype' in output) return denseNumbers(output.dtype, outputs.get('dense')!);
  const { format, constants } = output;
  const bytes: PackedBytes = Object.fromEntries(outputs);
  if (constants) bytes.constants = new Uint8Array(constants.buffer, constants.byteOffset, constants.byteLength);
  const rowwise = componentsOf(format).filter((name) => componentShape(format, shape, name).length === 2);
  return decodePacked(format, shape, bytes, new Set(rowwise));
}

/** Everything a conversion writes, by output. Throws as {@link decodeSourceTensor} does. */
export function convertInMemory(conversion: Conversion, codecs: Iterable<Codec>): Map<OutputName, Uint8Array> {
  const codec = [...codecs].find(({ name }) => name === conversion.codec);
  if (codec === undefined) throw new Error(`no codec ${conversion.codec}`);
  const parts = conversionParts(conversion);
  const whole = outputsOf(conversion, codec, parts, Number.POSITIVE_INFINITY);
  for (const part of parts) {
    const alone = outputsOf(conversion, codec, [part], 1).get(part.output)!;
    const at = alone.findIndex((byte, i) => byte !== whole.get(part.output)![i]);
    if (at >= 0) throw new Error(`${conversion.name}: ${part.output} made step by step differ at byte ${at}`);
  }
  return whole;
}

function outputsOf(
  conversion: Conversion,
  codec: Codec,
  parts: readonly ConversionPart[],
  rangeBytes: number,
): Map<OutputName, Uint8Array> {
  // Filled with what nobody would write by chance, so that a codec that counts on zeros fails.
  const outputs = new Map(parts.map(({ output, bytes }) => [output, new Uint8Array(bytes).fill(0xa5)]));
  const inputs = new Map(Object.entries(conversion.inputs).map(([name, tensor]) => [name, bytesOf(tensor)]));
  const read = (input: string, byteOffset: number, byteLength: number) => {
    const bytes = inputs.get(input);
    if (bytes === undefined) throw new RangeError(`${conversion.name} has no input ${input}`);
    if (!(byteOffset >= 0 && byteLength >= 0 && byteOffset + byteLength <= bytes.length)) {
      throw new RangeError(`${conversion.name}: bytes ${byteOffset} + ${byteLength} of ${bytes.length} of ${input}`);
    }
    // A copy at an odd address: codecs must not count on alignment, and may not write into their inputs.
    const copy = new Uint8Array(byteLength + 1).subarray(1);
    copy.set(bytes.subarray(byteOffset, byteOffset + byteLength));
    return copy;
  };
  const rows = rowCount(conversion.shape);
  const run = convertRanges({ conversion, codec, parts, read, rangeBytes }, (part, from, to) => {
    const all = outputs.get(part.output)!;
    const rowBytes = part.bytes / rows;
    return part.rowwise ? all.subarray(from * rowBytes, to * rowBytes) : all;
  });
  for (const _ of run);
  return outputs;
}

/** Float32 numbers of a dense tensor's bytes. */
function denseNumbers(dtype: string, bytes: Uint8Array): Float32Array {
  if (dtype === 'F32' || dtype === 'F16' || dtype === 'BF16') return floats(dtype, bytes);
  throw new Error(`no numbers of dtype ${dtype}`);
}

function decodePacked(
  format: PackedFormat,
  shape: readonly number[],
  bytes: PackedBytes,
  rowwise: ReadonlySet<ComponentName>,
): Float32Array {
  const [rows, columns] = shape as [number, number];
  return new PackedDecoder({ format, columns, firstRow: 0, bytes, rowwise }).rows(0, rows);
}

function bytesOf({ name, literal, extent }: MetaTensor): Uint8Array {
  if (literal !== undefined) return literal;
  if (extent === undefined) throw new Error(`${name} has no bytes`);
  const file = readFileSync(extent.file);
  return new Uint8Array(file.buffer, file.byteOffset + extent.offset, extent.length);
}

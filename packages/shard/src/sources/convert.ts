import { componentShape, componentShapes, componentsOf } from '@airllm/kernels';
import { type DType, tensorBytes } from '@airllm/loader';
import type { Codec, CodecCall, Conversion, OutputName } from './source';

/** One tensor that a conversion writes. */
export interface ConversionPart {
  readonly output: OutputName;
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly bytes: number;
  /** Whether a range of rows of the result is a range of its bytes; else it comes whole, in the first call. */
  readonly rowwise: boolean;
}

/** What a conversion writes, in the order of storage: codes first. */
export function conversionParts({ shape, output }: Pick<Conversion, 'shape' | 'output'>): ConversionPart[] {
  if ('dtype' in output) {
    const { dtype } = output;
    return [{ output: 'dense', dtype, shape, bytes: tensorBytes(dtype, shape), rowwise: true }];
  }
  const { format } = output;
  const expected = componentShapes(format, shape);
  return componentsOf(format).flatMap((name) => {
    if (name === 'constants') return [];
    const dtype = expected[name]!.dtypes[0]!;
    const stored = componentShape(format, shape, name);
    return [{ output: name, dtype, shape: stored, bytes: tensorBytes(dtype, stored), rowwise: stored.length === 2 }];
  });
}

/** Rows of a tensor: every dimension but the last. */
export function rowCount(shape: readonly number[]): number {
  return shape.slice(0, -1).reduce((product, dimension) => product * dimension, 1);
}

export interface ConversionRun {
  readonly conversion: Pick<Conversion, 'shape' | 'params'>;
  readonly codec: Codec;
  /** What is asked for this time. */
  readonly parts: readonly ConversionPart[];
  readonly read: CodecCall['read'];
  readonly measure?: CodecCall['measure'];
  /** Bytes of the row-wise parts to make at a time; at least one step of rows is made. */
  readonly rangeBytes: number;
}

/** Memory that a range of rows is written into: of a row-wise part for these rows, of another whole. */
export type OutputMemory = (part: ConversionPart, from: number, to: number) => Uint8Array;

/** Runs a codec over all rows, range by range in ascending order; yields each range once it has been written. */
export function* convertRanges(run: ConversionRun, memory: OutputMemory): Generator<{ from: number; to: number }> {
  const { conversion, codec, parts, read, rangeBytes, measure } = run;
  const { params, shape } = conversion;
  const rows = rowCount(shape);
  if (parts.every(({ bytes }) => bytes === 0)) return;
  const rowBytes = parts.reduce((sum, part) => sum + (part.rowwise ? part.bytes / rows : 0), 0);
  const step = codec.rowStep({ params, shape });
  const steps = rowBytes === 0 ? Number.POSITIVE_INFINITY : Math.floor(rangeBytes / rowBytes / step);
  const rangeRows = Math.min(rows, Math.max(1, steps) * step);
  for (let from = 0; from < rows; from += rangeRows) {
    const to = Math.min(rows, from + rangeRows);
    const out: Partial<Record<OutputName, Uint8Array>> = {};
    for (const part of parts) if (part.rowwise || from === 0) out[part.output] = memory(part, from, to);
    codec.convertRows({ params, shape, from, to, read, out, measure });
    yield { from, to };
  }
}

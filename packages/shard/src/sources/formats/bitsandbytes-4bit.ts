import { type BlockDType, blockCount, componentShape, type PackedFormat } from '@airllm/kernels';
import type { DType, MetaTensor } from '@airllm/loader';
import type { RawCheckpoint, SourceTensor } from '../source';
import { type QuantState, readQuantState } from './bitsandbytes-state';
import type { ConstantPool } from './shared/constants';
import {
  checkCount,
  checkDType,
  companion,
  malformed,
  packed,
  smallNumbers,
  unsupported,
  viewed,
} from './shared/tensors';

/** `bnb_4bit_quant_storage`: the same bytes under another dtype (FSDP wants the model's own). */
const STORAGE: readonly DType[] = ['U8', 'I8', 'BF16', 'F16', 'F32', 'F64'];

const KINDS = ['nf4', 'fp4'];

export interface Resolved4bit {
  readonly tensor: SourceTensor;
  readonly used: readonly string[];
}

/**
 * NF4 and FP4: w = codebook[code] · absmax of a block of the flattened matrix, high nibble first. With double
 * quantisation, absmax = nested codebook[absmax code] · nested absmax + offset. In place; rows of an odd number of
 * weights begin in the middle of a byte, and are rewritten as float32.
 */
export async function resolve4bit(raw: RawCheckpoint, blob: MetaTensor, pool: ConstantPool): Promise<Resolved4bit> {
  const [, name, kind] = QUANT_STATE.exec(blob.name) as unknown as [string, string, string];
  if (!KINDS.includes(kind))
    unsupported(raw, `${blob.name}: only ${KINDS.join(' and ')} are known of bitsandbytes' 4-bit types`);
  const weight = companion(raw, blob, name);
  const absmax = companion(raw, weight, `${name}.absmax`);
  const map = companion(raw, weight, `${name}.quant_map`);
  const nestedMap = raw.tensors.get(`${name}.nested_quant_map`);
  // All at once: reads of one moment are joined where they lie together.
  const [state, table4, table8] = await Promise.all([
    readQuantState(raw, blob, kind),
    smallNumbers(raw, map, 16),
    nestedMap && smallNumbers(raw, nestedMap, 256),
  ]);
  const supers = state.nested && companion(raw, weight, `${name}.nested_absmax`);
  if (supers) companion(raw, weight, `${name}.nested_quant_map`);
  const [rows, columns] = state.shape;
  checkDType(weight, STORAGE);
  const bytes = Math.ceil((rows * columns) / 2);
  if (weight.byteLength !== bytes) {
    malformed(weight, `it has ${weight.byteLength} bytes, expected ${bytes} for shape [${state.shape.join(', ')}]`);
  }
  const format = nibbleFormat(state, scaleDType(absmax, state));
  checkCount(absmax, blockCount(format, rows, columns));
  if (supers) {
    checkDType(supers, ['F32']);
    checkCount(supers, Math.ceil(absmax.elementCount / state.nested!.blockSize));
  }
  const parts = { weight, absmax, ...(supers && { supers }) };
  const used = [blob, weight, absmax, map, nestedMap, supers].flatMap((tensor) => tensor?.name ?? []);
  const numbers = { bias: state.nested?.offset ?? 0, table4, ...(table8 && { table8 }) };
  const tensor =
    columns % 2 === 0 ? inPlace(name, state, format, parts, pool, numbers) : rewritten(name, state, parts, numbers);
  return { tensor, used };
}

/** `<weight>.quant_state.bitsandbytes__<nf4 or fp4>`. */
export const QUANT_STATE = /^(.+)\.quant_state\.bitsandbytes__(\w+)$/;

/** How NF4 and FP4 are computed with; `flat` where blocks run across the ends of rows. */
export function nibbleFormat(state: QuantState, dtype: BlockDType): PackedFormat {
  const { shape, blockSize, nested } = state;
  return {
    code: 'table4',
    nibbles: 'high',
    block: { rows: 1, columns: blockSize },
    ...(shape[1] % blockSize !== 0 && { flat: true }),
    scale: nested ? { dtype, supers: { dtype: 'F32', every: nested.blockSize }, bias: true } : { dtype },
  };
}

interface Parts {
  readonly weight: MetaTensor;
  readonly absmax: MetaTensor;
  readonly supers?: MetaTensor;
}

interface Numbers {
  readonly bias: number;
  readonly table4: Float32Array;
  readonly table8?: Float32Array;
}

function scaleDType(absmax: MetaTensor, { nested }: QuantState): BlockDType {
  checkDType(absmax, nested ? ['U8'] : ['F32', 'F16', 'BF16']);
  return absmax.dtype as BlockDType;
}

function inPlace(
  name: string,
  { shape }: QuantState,
  format: PackedFormat,
  { weight, absmax, supers }: Parts,
  pool: ConstantPool,
  numbers: Numbers,
): SourceTensor {
  return packed(weight, {
    name,
    shape,
    format,
    components: {
      codes: viewed(weight, { dtype: 'U8', shape: componentShape(format, shape, 'codes') }),
      scales: viewed(absmax, { shape: componentShape(format, shape, 'scales') }),
      ...(supers && { supers: viewed(supers, { shape: componentShape(format, shape, 'supers') }) }),
      constants: pool.tensor(`${name}.constants`, format, numbers),
    },
  });
}

function rewritten(
  name: string,
  { shape, blockSize, nested }: QuantState,
  parts: Parts,
  numbers: Numbers,
): SourceTensor {
  const { bias, table4, table8 } = numbers;
  return {
    kind: 'conversion',
    name,
    shape,
    codec: 'bitsandbytes-4bit',
    params: {
      blockSize,
      table: [...table4],
      scale: parts.absmax.dtype,
      ...(nested && { nested: { blockSize: nested.blockSize, table: [...table8!], offset: bias } }),
    },
    inputs: { ...parts },
    output: { dtype: 'F32' },
  };
}

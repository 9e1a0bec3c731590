import { componentShape, constantPlaces, PackedTensor } from '@airllm/kernels';
import { type DType, type Extent, FormatError, type MetaTensor, MissingTensorError, tensorBytes } from '@airllm/loader';
import { type ConversionPart, conversionParts } from '../sources/convert';
import { type Conversion, isConversion, type SourceTensor } from '../sources/source';
import { componentTensorName, type StoredMatrix } from '../sources/stored-formats';

/** A tensor as it will be stored in a layer file. */
export interface PlannedTensor {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly bytes: number;
}

/** Where bytes come from: a file, or they are known already. */
export type ByteSource = Extent | { readonly bytes: Uint8Array };

/** What one tensor of the model becomes, and how. */
export interface PlannedPiece {
  /** More than one where a packed matrix has more than codes; at least its codes first. */
  readonly tensors: readonly PlannedTensor[];
  /** Of packed matrices. */
  readonly matrix?: StoredMatrix;
  readonly work: PlannedWork;
}

export type PlannedWork =
  /** Parallel to the tensors; floats become the tensor's dtype. */
  | { readonly kind: 'copy'; readonly from: readonly { readonly dtype: DType; readonly source: ByteSource }[] }
  /** Parts are parallel to the tensors. */
  | { readonly kind: 'convert'; readonly conversion: Conversion; readonly parts: readonly ConversionPart[] };

const CONVERTIBLE: ReadonlySet<DType> = new Set<DType>(['F32', 'F16', 'BF16']);

/** `dtype`: what dense floating-point tensors become; null keeps theirs. Throws `MissingTensorError`, `FormatError`. */
export function planPiece(tensor: SourceTensor, dtype: DType | null): PlannedPiece {
  if (isConversion(tensor)) return planConversion(tensor, dtype);
  return PackedTensor.isInstance(tensor) ? planPacked(tensor) : planDense(tensor as MetaTensor, dtype);
}

function planDense(tensor: MetaTensor, dtype: DType | null): PlannedPiece {
  const { name, shape } = tensor;
  const to = targetOf(tensor.dtype, dtype);
  return {
    tensors: [{ name, dtype: to, shape, bytes: tensorBytes(to, shape) }],
    work: { kind: 'copy', from: [{ dtype: tensor.dtype, source: sourceOf(tensor) }] },
  };
}

/** Its bytes stay; its components get our names. */
function planPacked(packed: PackedTensor): PlannedPiece {
  const { name, shape, format } = packed;
  const tensors: PlannedTensor[] = [];
  const from: { dtype: DType; source: ByteSource }[] = [];
  let constants: Float32Array | undefined;
  for (const [component, part] of packed.parts()) {
    if (component === 'constants') constants = floatsOf(part);
    else {
      const viewed = componentShape(format, shape, component);
      tensors.push({
        name: componentTensorName(name, component),
        dtype: part.dtype,
        shape: viewed,
        bytes: part.byteLength,
      });
      from.push({ dtype: part.dtype, source: sourceOf(part) });
    }
  }
  return { tensors, matrix: { name, shape, format, constants }, work: { kind: 'copy', from } };
}

function planConversion(conversion: Conversion, dtype: DType | null): PlannedPiece {
  const { name, shape, output } = conversion;
  const parts = conversionParts(conversion);
  const work = { kind: 'convert', conversion, parts } as const;
  if ('dtype' in output) {
    const to = targetOf(output.dtype, dtype);
    return { tensors: [{ name, dtype: to, shape, bytes: tensorBytes(to, shape) }], work };
  }
  const { format, constants } = output;
  if ((constants?.length ?? 0) !== constantPlaces(format).count) {
    const file = fileOf(conversion);
    throw new FormatError({ file, tensor: name, reason: `codec ${conversion.codec}: constants do not fit the format` });
  }
  const tensors = parts.map((part) => {
    const component = part.output as Exclude<typeof part.output, 'dense'>;
    return { name: componentTensorName(name, component), dtype: part.dtype, shape: part.shape, bytes: part.bytes };
  });
  return { tensors, matrix: { name, shape, format, constants }, work };
}

/** The first file a conversion reads, for errors. */
export function fileOf({ inputs }: Pick<Conversion, 'inputs'>): string {
  return Object.values(inputs).find(({ extent }) => extent !== undefined)?.extent?.file ?? '(no file)';
}

export function sourceOf({ name, extent, literal }: MetaTensor): ByteSource {
  if (literal !== undefined) return { bytes: literal };
  if (extent !== undefined) return extent;
  throw new MissingTensorError({
    tensor: name,
    reason: 'it has no bytes to split; open a checkpoint with weights',
  });
}

function targetOf(from: DType, dtype: DType | null): DType {
  return dtype !== null && CONVERTIBLE.has(from) ? dtype : from;
}

/** Constants are known since the model was opened. */
function floatsOf({ name, literal }: MetaTensor): Float32Array {
  if (literal === undefined) throw new MissingTensorError({ tensor: name, reason: 'constants that are not known' });
  return new Float32Array(literal.slice().buffer);
}

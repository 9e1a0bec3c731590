import { componentShape, componentShapes, componentsOf, constantsTensor, PackedTensor } from '@airllm/kernels';
import { type DType, MetaTensor } from '@airllm/loader';
import { type Conversion, isConversion, type SourceTensor } from './source';

/** What a tensor will be once a split has rewritten it: the same name and shape, on meta; others as they are. */
export function convertedTensor(tensor: SourceTensor): MetaTensor | PackedTensor {
  return isConversion(tensor) ? resultOf(tensor) : tensor;
}

function resultOf({ name, shape, output }: Conversion): MetaTensor | PackedTensor {
  if ('dtype' in output) return new MetaTensor({ name, dtype: output.dtype, shape });
  return packedOnMeta(name, shape, output.format, output.constants);
}

/** A packed matrix that lies nowhere yet, for plans and sizes. */
export function packedOnMeta(
  name: string,
  shape: readonly number[],
  format: PackedTensor['format'],
  constants?: Float32Array,
): PackedTensor {
  const expected = componentShapes(format, shape);
  const components = componentsOf(format).map((part) => {
    const { dtypes, count } = expected[part]!;
    if (part === 'constants') return [part, constantsTensor(`${name}.constants`, constants ?? new Float32Array(count))];
    const dtype = dtypes[0] as DType;
    return [part, new MetaTensor({ name: `${name}.${part}`, dtype, shape: componentShape(format, shape, part) })];
  });
  return new PackedTensor({ name, shape, format, components: Object.fromEntries(components) });
}

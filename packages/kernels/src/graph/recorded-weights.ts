import type { MetaTensor } from '@airllm/loader';
import type { ComponentName } from '../packed/format';
import { PackedTensor } from '../packed/packed-tensor';
import type { WeightSource } from './builder-options';
import { checkPacked, checkParts, checkTensor } from './checks';
import type { PackedWeightSpec, WeightLayout, WeightSpec } from './graph';
import type { WeightId } from './ops';

/** The weights of a graph that is being recorded: what its ops see of them, and the tensors of the one block. */
export class RecordedWeights {
  readonly #source: WeightSource;
  readonly #specs: WeightSpec[] = [];
  readonly #tensors: MetaTensor[] = [];

  constructor(source: WeightSource) {
    this.#source = source;
  }

  get specs(): readonly WeightSpec[] {
    return this.#specs;
  }

  /** By the same index. */
  get tensors(): readonly MetaTensor[] {
    return this.#tensors;
  }

  /**
   * Asks the source for a tensor of this shape; `parts` are row ranges that were fused into it. Throws `GraphError` where
   * what there is does not fit.
   */
  add(name: string, shape: readonly number[], layout: WeightLayout, parts?: readonly number[]): WeightId {
    const tensor = this.#source(name, shape);
    checkTensor(tensor, name, shape);
    checkParts(name, shape, layout, parts);
    const fused = parts ? { parts } : {};
    if (PackedTensor.isInstance(tensor)) return this.#packed(tensor, layout, fused);
    return this.#store(tensor, { dtype: tensor.dtype, shape, layout, ...fused });
  }

  /** Its codes, then its other components, each a weight of its own. */
  #packed(tensor: PackedTensor, layout: WeightLayout, fused: Pick<WeightSpec, 'parts'>): WeightId {
    checkPacked(tensor, layout);
    const { format } = tensor;
    const [[, codes], ...others] = tensor.parts() as [
      readonly ['codes', MetaTensor],
      ...(readonly [ComponentName, MetaTensor])[],
    ];
    const first = this.#specs.length;
    const ids = others.map(([name], i) => [name, first + 1 + i] as const);
    const components: PackedWeightSpec['components'] = Object.fromEntries(ids);
    const packed = { format, columns: tensor.shape[1]!, components };
    const id = this.#store(codes, { dtype: codes.dtype, shape: codes.shape, layout, ...fused, packed });
    for (const [name, part] of others) {
      // Numbers of a matrix that no file holds, such as a factor of all its scales, are constants too.
      const known = name === 'constants' || (part.literal !== undefined && part.shape.length === 1);
      const own = known ? 'constants' : part.shape.length === 2 ? layout : 'whole';
      this.#store(part, { dtype: part.dtype, shape: part.shape, layout: own });
    }
    return id;
  }

  #store(tensor: MetaTensor, spec: WeightSpec): WeightId {
    this.#tensors.push(tensor);
    return this.#specs.push(spec) - 1;
  }
}

import { MetaTensor } from '@airllm/loader';
import { type Model, storedTensors } from '../models/model';
import { buildModel } from '../models/registry';

/** A model whose tensors lie in one file, one after the other from an odd offset on. */
export function laidOut(rawConfig: object): Model {
  const tensors = storedTensors(buildModel(rawConfig, { dtype: 'BF16' }));
  let offset = 1237;
  const placed = tensors.map(({ name, dtype, shape, byteLength }) => {
    const extent = { file: '/model.safetensors', offset, length: byteLength };
    offset += byteLength;
    return [name, new MetaTensor({ name, dtype, shape, extent })] as const;
  });
  return buildModel(rawConfig, { tensors: new Map(placed) });
}

import { MetaTensor } from '@airllm/loader';
import { type Model, storedTensors } from '../models/model';
import { buildModel } from '../models/registry';

/** A model whose tensors lie one after the other from an odd offset on, in one file or in those of their names. */
export function laidOut(rawConfig: object, fileOf: (name: string) => string = () => '/model.safetensors'): Model {
  const tensors = storedTensors(buildModel(rawConfig, { dtype: 'BF16' }));
  let offset = 1237;
  const placed = tensors.map(({ name, dtype, shape, byteLength }) => {
    const extent = { file: fileOf(name), offset, length: byteLength };
    offset += byteLength;
    return [name, new MetaTensor({ name, dtype, shape, extent })] as const;
  });
  return buildModel(rawConfig, { tensors: new Map(placed) });
}

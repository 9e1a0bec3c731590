import type { Block, Graph } from '@airllm/kernels';
import type { Model } from '../models/model';
import type { DevicePlan } from './types';

/**
 * The model as its host computes it: of blocks that a device computes, nothing but the values they hand on. Who brings
 * weights is another matter.
 */
export function hostShare(model: Model, { computes }: Pick<DevicePlan, 'computes'>): Model {
  const share = (block: Block, b: number) => (computes[b] ? handingOn(block) : block);
  return { ...model, layers: model.layers.map(share), head: share(model.head, model.layers.length) };
}

function handingOn(block: Block): Block {
  const { graph } = block;
  const carried = new Map([...graph.inputs, ...graph.outputs]);
  const values = [...carried.values()].map((id) => graph.values[id]!);
  const inputs: Graph['inputs'] = new Map([...carried.keys()].map((name, id) => [name, id]));
  const key = `${graph.key} on a device`;
  return {
    ...block,
    graph: { ops: [], values, weights: [], states: [], ropes: [], inputs, outputs: inputs, key },
  };
}

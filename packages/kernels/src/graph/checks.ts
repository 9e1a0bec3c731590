import type { MetaTensor } from '@airllm/loader';
import { GraphError } from '../errors';
import type { PackedTensor } from '../packed/packed-tensor';
import type { RopeSpec } from '../rope/spec';
import type { Graph, WeightLayout } from './graph';
import type { OpName, ValueId } from './ops';

/** Whether a number can be a width or a count. */
export function isWidth(value: number): boolean {
  return Number.isSafeInteger(value) && value > 0;
}

export function checkTensor(tensor: Pick<MetaTensor, 'shape'>, name: string, shape: readonly number[]): void {
  if (tensor.shape.length === shape.length && tensor.shape.every((size, i) => size === shape[i])) return;
  throw new GraphError('weight', `${name} has shape [${tensor.shape.join(', ')}], expected [${shape.join(', ')}]`);
}

/** Only matrices whose rows are outputs, or rows to be picked, can be packed. */
export function checkPacked(tensor: PackedTensor, layout: WeightLayout): void {
  const { name, format, components } = tensor;
  if (layout !== 'out,in' && layout !== 'rows') {
    throw new GraphError('weight', `${name} is quantised, which a weight of layout ${layout} cannot be`);
  }
  if (layout !== 'rows') return;
  const whole = tensor.parts().find(([part, { shape }]) => part !== 'constants' && shape.length !== 2)?.[0];
  if (whole !== undefined || format.columns || components.columns !== undefined) {
    throw new GraphError(
      'weight',
      `rows of ${name} cannot be picked one by one: its ${whole ?? 'columns'} are of all rows`,
    );
  }
}

/** The matrices fused into one must make up its output. */
export function checkParts(
  name: string,
  shape: readonly number[],
  layout: WeightLayout,
  parts: readonly number[] | undefined,
): void {
  if (parts === undefined) return;
  const width = shape[layout === 'in,out' ? 1 : 0]!;
  const total = parts.reduce((sum, part) => sum + part, 0);
  if (total !== width) throw new GraphError('linear', `parts ${parts.join(' + ')} of ${name} do not make ${width}`);
}

export function checkRope(spec: RopeSpec, headDim: number): void {
  const { dim, scaling } = spec;
  if (!isWidth(dim) || dim > headDim || dim % 2 !== 0) {
    throw new GraphError('rope', `rotary width ${dim} must be even and at most the head width ${headDim}`);
  }
  if (scaling.type !== 'longrope') return;
  for (const list of ['shortFactor', 'longFactor'] as const) {
    const found = scaling[list].length;
    if (found !== dim / 2) throw new GraphError('rope', `${list} has ${found} divisors, expected ${dim / 2}`);
  }
}

/**
 * Outputs are copied to their carry buffers one after another when the block ends, so an output that is nothing but an
 * input must not come from a buffer that another output has just been written to.
 */
export function checkCarries(inputs: ReadonlyMap<string, ValueId>, outputs: ReadonlyMap<string, ValueId>): void {
  for (const [output, id] of outputs) {
    for (const [input, source] of inputs) {
      if (id === source && input !== output && outputs.has(input) && outputs.get(input) !== id) {
        throw new GraphError('output', `${output} is the input ${input}, whose buffer another output overwrites`);
      }
    }
  }
}

/** Ops that look at the pass (positions, states, ids), or that end a part: not inside an expert. */
const NOT_IN_EXPERTS: readonly OpName[] = ['embed', 'rope', 'attention', 'route', 'expert', 'combine'];

/** An expert is run on gathered rows, so it may only hold ops that look at one row and nothing else. */
export function checkExpertGraph(graph: Graph): void {
  const odd = graph.ops.find((op) => NOT_IN_EXPERTS.includes(op.op));
  if (odd !== undefined) throw new GraphError('experts', `an expert cannot hold the op ${odd.op}`);
}

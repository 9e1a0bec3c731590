import type { Tensor } from 'onnxruntime-node';
import type { WeightId } from '../../graph/ops';
import type { WeightInput } from './lower/group';
import type { DenseWeight, PackedWeight, StagedWeights } from './weights';

/** What a session takes of a weight that is the same in every pass. */
export function weightTensor(weights: StagedWeights, input: WeightInput): Tensor {
  switch (input.kind) {
    case 'matrix':
      return matrixTensor(weights, input.id, input.piece);
    case 'packed':
      return packedTensor(weights, input);
    case 'order': {
      const { order, columns } = weights.get(input.id) as PackedWeight;
      return order!.tensor('int32', [columns]);
    }
    default:
      return vectorTensor(weights, input.id);
  }
}

/** A piece of a matrix, `[rows, columns]`. */
function matrixTensor(weights: StagedWeights, id: WeightId, piece: number): Tensor {
  const { pieces, columns } = weights.get(id) as DenseWeight;
  const { buffer, type, rows } = pieces[piece]!;
  return buffer.tensor(type, [rows, columns]);
}

/** Of a packed piece: its codes, scales or zeros. */
function packedTensor(weights: StagedWeights, input: Extract<WeightInput, { kind: 'packed' }>): Tensor {
  const { buffer, scales, zeros } = (weights.get(input.id) as PackedWeight).pieces[input.piece]!;
  if (input.what === 'scales') return scales.tensor('float32', input.shape);
  return (input.what === 'codes' ? buffer : zeros!).tensor('uint8', input.shape);
}

/** A vector, `[length]`. */
export function vectorTensor(weights: StagedWeights, id: WeightId): Tensor {
  const { pieces, columns } = weights.get(id)!;
  return pieces[0]!.buffer.tensor('float32', [columns]);
}

import { PackedDecoder, PackedTensor } from '@airllm/kernels';
import type { Model, ModelTensor } from '@airllm/runtime';
import { type Comparison, largestError, scientific } from './compare';
import type { ExpectedWeight } from './expected';

/** Of the largest weight. Most formats are exact. */
const tolerance = 1e-6;

/** Compares weights, as they are computed with, with what they are dequantised to. */
export async function checkWeights(model: Model, expected: ReadonlyMap<string, ExpectedWeight>): Promise<Comparison[]> {
  if (expected.size === 0) return [];
  let worst = 0;
  for (const [name, { shape, values }] of expected) {
    const found = await weightNamed(model, name, shape);
    if (found === undefined) return [{ ok: false, fact: `weight ${name} is not in the model` }];
    if (found.length !== values.length) {
      return [{ ok: false, fact: `weight ${name} has ${found.length} numbers, expected ${values.length}` }];
    }
    const { error, at } = largestError(found, values);
    const share = error === 0 ? 0 : error / largestOf(values);
    if (share > tolerance) {
      return [{ ok: false, fact: `weight ${name} ${scientific(share)} of its largest > ${tolerance} at ${at}` }];
    }
    worst = Math.max(worst, share);
  }
  return [{ ok: true, fact: `${expected.size} weights ${scientific(worst)}` }];
}

/** Stacked experts, `[experts, …]` in the checkpoint, are a matrix each in the model: `[out, in]`. */
async function weightNamed(model: Model, name: string, shape: readonly number[]): Promise<Float32Array | undefined> {
  if (shape.length !== 3) {
    const tensor = tensorNamed(model, name);
    return tensor && numbersOf(tensor);
  }
  const [count, rows, columns] = shape as [number, number, number];
  const all = new Float32Array(count * rows * columns);
  for (let e = 0; e < count; e++) {
    const tensor = tensorNamed(model, expertName(name, e));
    if (tensor === undefined) return undefined;
    const numbers = await numbersOf(tensor);
    const isTransposed = tensor.shape[0] === columns && tensor.shape[1] === rows && isGptOss(name);
    all.set(isTransposed ? transposed(numbers, rows, columns) : numbers, e * rows * columns);
  }
  return all;
}

/** Expert e of `….switch_mlp.up_proj.weight` (MLX) or `….experts.gate_up_proj` (gpt-oss). */
function expertName(name: string, e: number): string {
  const own = name.replace(/\.switch_mlp\./, `.experts.${e}.`).replace(/\.experts\.(?=[a-z])/, `.experts.${e}.`);
  return own.endsWith('.weight') ? own : `${own}.weight`;
}

/** Its stacked experts are `[in, out]`. */
function isGptOss(name: string): boolean {
  return /\.experts\.[a-z]/.test(name);
}

function tensorNamed({ tensors }: Model, name: string): ModelTensor | undefined {
  return tensors.get(name) ?? tensors.get(name.replace(/^model\./, '')) ?? tensors.get(`model.${name}`);
}

async function numbersOf(tensor: ModelTensor): Promise<Float32Array> {
  if (!PackedTensor.isInstance(tensor)) {
    using host = await tensor.materialize();
    return host.toFloat32();
  }
  return (await PackedDecoder.of(tensor)).rows(0, tensor.shape[0]!);
}

function transposed(matrix: Float32Array, rows: number, columns: number): Float32Array {
  const out = new Float32Array(matrix.length);
  for (let r = 0; r < rows; r++) for (let c = 0; c < columns; c++) out[r * columns + c] = matrix[c * rows + r]!;
  return out;
}

function largestOf(values: Float32Array): number {
  return values.reduce((largest, value) => Math.max(largest, Math.abs(value)), 0);
}

import { floats, PackedTensor } from '@airllm/kernels';
import { MetaTensor } from '@airllm/loader';
import type { InterleaveParams } from '../codecs/interleave';
import { type Conversion, isConversion, type RawCheckpoint, type SourceTensor } from '../source';
import { checkDType, checkShape, malformed, unsupported } from './shared/tensors';

const GATE = /^(.*\.experts\.\d+)\.gate_proj\.(weight|bias)$/;

/**
 * gpt-oss has gate and up of an expert in one matrix, their rows by turns; MLX takes them apart. Puts them together again,
 * under the name of transformers.
 */
export function joinGatesAndUps(raw: RawCheckpoint, tensors: Map<string, SourceTensor>): void {
  if (raw.config?.model_type !== 'gpt_oss') return;
  for (const [name, gate] of [...tensors]) {
    const [, expert, part] = GATE.exec(name) ?? [];
    const up = tensors.get(`${expert}.up_proj.${part}`);
    if (expert === undefined || up === undefined) continue;
    tensors.delete(gate.name);
    tensors.delete(up.name);
    const joined = joinedOf(raw, `${expert}.gate_up_proj.${part}`, gate, up);
    tensors.set(joined.name, joined);
  }
}

function joinedOf(raw: RawCheckpoint, name: string, gate: SourceTensor, up: SourceTensor): Conversion {
  if (PackedTensor.isInstance(gate) && PackedTensor.isInstance(up)) return joinedMatrix(name, gate, up);
  if (MetaTensor.isInstance(gate) && MetaTensor.isInstance(up)) return joinedDense(name, gate, up);
  const odd = [gate, up].find(isConversion) ?? gate;
  return unsupported(
    raw,
    `${odd.name} has codes of odd bits; use an upload of gpt-oss with experts in mxfp4, or in 4 bits`,
  );
}

function joinedMatrix(name: string, gate: PackedTensor, up: PackedTensor): Conversion {
  const { format, shape } = gate;
  const constants = gate.components.constants?.literal;
  const isAlike =
    JSON.stringify([format, shape]) === JSON.stringify([up.format, up.shape]) &&
    Buffer.compare(constants ?? Buffer.of(), up.components.constants?.literal ?? Buffer.of()) === 0;
  if (!isAlike) malformed(up.components.codes!, `it is not packed as ${gate.name} is, and they are rows of one matrix`);
  const rows = shape[0]!;
  const parts = gate.parts().filter(([component]) => component !== 'constants');
  const inputs = parts.flatMap(([component, part]) => [
    [`${component}0`, part],
    [`${component}1`, up.components[component]!],
  ]);
  const params: InterleaveParams = {
    units: Object.fromEntries(parts.map(([component, part]) => [component, part.byteLength / rows])),
  };
  return {
    kind: 'conversion',
    name,
    shape: [2 * rows, shape[1]!],
    codec: 'interleave',
    params,
    inputs: Object.fromEntries(inputs),
    output: { format, ...(constants && { constants: floats('F32', constants) }) },
  };
}

/** Biases `[N]`, and matrices that are not quantised. */
function joinedDense(name: string, gate: MetaTensor, up: MetaTensor): Conversion {
  checkDType(up, [gate.dtype]);
  checkShape(up, gate.shape);
  const { shape, dtype } = gate;
  const params: InterleaveParams = { units: { dense: gate.byteLength / shape[0]! } };
  const joined = [2 * shape[0]!, ...shape.slice(1)];
  return {
    kind: 'conversion',
    name,
    shape: joined,
    codec: 'interleave',
    params,
    inputs: { dense0: gate, dense1: up },
    output: { dtype },
  };
}

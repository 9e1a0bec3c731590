import type { MetaTensor } from '@airllm/loader';
import type { Conversion, RawCheckpoint } from '../source';
import { matrixShape } from './shared/scaled';
import { checkCount, checkDType, companion, malformed, unsupported } from './shared/tensors';

/** `weight_format` of the layouts that old CUDA kernels shuffled weights into. */
const SHUFFLED = ['row', 'col32', 'col_turing', 'col_ampere'];

/**
 * LLM.int8(): w = code · SCB / 127, one SCB per row. Scales are divided once; executors multiply. (The library itself
 * quantises activations too, which is its own rounding and not the weights'.)
 */
export async function resolveInt8(raw: RawCheckpoint, weight: MetaTensor): Promise<Conversion> {
  const { name } = weight;
  const module = name.slice(0, -'weight'.length);
  const statistics = companion(raw, weight, `${module}SCB`);
  const shape = matrixShape(weight);
  checkDType(weight, ['I8']);
  checkDType(statistics, ['F32', 'F16', 'BF16']);
  checkCount(statistics, shape[0]);
  await checkLayout(raw, raw.tensors.get(`${module}weight_format`));
  return {
    kind: 'conversion',
    name,
    shape,
    codec: 'bitsandbytes-int8',
    params: { scale: statistics.dtype },
    inputs: { weight, SCB: statistics },
    output: { format: { code: 'i8', block: { rows: 1, columns: shape[1] }, scale: { dtype: 'F32' } } },
  };
}

async function checkLayout(raw: RawCheckpoint, marker: MetaTensor | undefined): Promise<void> {
  if (marker === undefined) return;
  checkDType(marker, ['U8']);
  checkCount(marker, 1);
  const layout = (await raw.read(marker))[0]!;
  if (layout === 0) return;
  const known = SHUFFLED[layout] ?? malformed(marker, `it is ${layout}, expected 0 (row) to ${SHUFFLED.length - 1}`);
  unsupported(
    raw,
    `${marker.name} says ${known}, a layout of old CUDA kernels; save it again with bitsandbytes ≥ 0.45`,
  );
}

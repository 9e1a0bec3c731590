import type { MetaTensor } from '@airllm/loader';
import type { QuantFormat, RawCheckpoint, SourceTensor } from '../source';
import { ConstantPool } from './shared/constants';
import { matrixShape, scaleCounts, scaledBytes } from './shared/scaled';
import { checkCount, checkDType, companion, malformed, unsupported } from './shared/tensors';
import { readSubclass } from './torchao-subclass';

/** `<module>._<parameter>_qdata`. */
const CODES = /^(.*\.)?_(\w+)_qdata$/;
/** Scales of activations: executors compute with activations as they are. */
const NOT_NEEDED = /_act_quant_(?:scale|zero_point)$/;
const PART = /^(.*\.)?_(\w+)_(?:scale|zero_point)$/;

/** Zero points are read, to see whether they are all zero, up to so many. */
const MOST_ZEROS = 2 ** 20;

/**
 * torchao (version 2 of its tensor subclasses, the ones it saves as safetensors): `Int8Tensor` and its relatives as
 * w = (code − zero) · scale, `Float8Tensor` as w = code · scale. In place where no zero point differs from 0, which holds
 * for everything symmetric.
 */
export const torchao: QuantFormat = {
  name: 'torchao',

  detect(raw) {
    const method = raw.quantisation?.quant_method;
    if (method !== undefined) return method === 'torchao';
    return [...raw.tensors.keys()].some((name) => CODES.test(name));
  },

  async resolve(raw) {
    const tensors = new Map<string, SourceTensor>();
    const used = new Set<string>();
    const pool = new ConstantPool();
    const codes = [...raw.tensors.values()].filter(({ name }) => CODES.test(name));
    for (const { tensor, parts } of await Promise.all(codes.map((qdata) => resolveTensor(raw, qdata, pool)))) {
      tensors.set(tensor.name, tensor);
      for (const part of parts) used.add(part.name);
    }
    for (const tensor of raw.tensors.values()) {
      if (NOT_NEEDED.test(tensor.name)) used.add(tensor.name);
      const [, module, parameter] = PART.exec(tensor.name) ?? [];
      if (parameter === undefined || used.has(tensor.name)) continue;
      companion(raw, tensor, `${module ?? ''}_${parameter}_qdata`);
    }
    return { tensors, used };
  },
};

async function resolveTensor(
  raw: RawCheckpoint,
  codes: MetaTensor,
  pool: ConstantPool,
): Promise<{ tensor: SourceTensor; parts: readonly MetaTensor[] }> {
  const [, module = '', parameter] = CODES.exec(codes.name)!;
  const name = `${module}${parameter}`;
  const part = `${module}_${parameter}`;
  const subclass = readSubclass(raw, codes, name);
  if (codes.shape.length === 3) {
    unsupported(raw, `${name} holds a stack of matrices; use an upload with one weight per expert`);
  }
  const shape = matrixShape(codes);
  const scales = companion(raw, codes, `${part}_scale`);
  const zeros = raw.tensors.get(`${part}_zero_point`);
  const { block, dtype } = subclass;
  if (codes.dtype !== dtype) malformed(codes, `its dtype is ${codes.dtype}, expected ${dtype} of a ${subclass.type}`);
  if (block[0] > shape[0] || block[1] > shape[1]) {
    malformed(codes, `its block_size is [${block.join(', ')}], more than its shape [${shape.join(', ')}]`);
  }
  checkDType(scales, ['F32', 'F16', 'BF16']);
  const inPlace = scaledBytes(name, codes, scales, block, pool);
  if (zeros === undefined) return { tensor: inPlace, parts: [codes, scales] };
  if (dtype !== 'I8') malformed(zeros, `it makes no sense beside the ${codes.dtype} of ${codes.name}`);
  checkDType(zeros, ['I8']);
  const counts = scaleCounts(shape, block);
  checkCount(zeros, counts[0] * counts[1]);
  const parts = [codes, scales, zeros];
  if (zeros.byteLength <= MOST_ZEROS && (await raw.read(zeros)).every((zero) => zero === 0)) {
    return { tensor: inPlace, parts };
  }
  const tensor: SourceTensor = {
    kind: 'conversion',
    name,
    shape,
    codec: 'torchao-int8',
    params: { scaleBytes: scales.byteLength / zeros.byteLength, blocksPerRow: block[0] === 1 ? counts[1] : null },
    inputs: { codes, scales, zeros },
    output: { format: { ...inPlace.format, code: 'u8', zero: { dtype: 'U8' } } },
  };
  return { tensor, parts };
}

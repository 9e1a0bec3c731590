import type { AwqParams } from '../codecs/awq';
import type { Conversion, QuantFormat, RawCheckpoint, ResolvedTensors, SourceTensor } from '../source';
import { partsOf, qweightModules } from './shared/qweight';
import { checkDType, checkShape, companion, malformed, unsupported } from './shared/tensors';

/** AWQ's GEMM layout, and auto-round in that packing: codes lie along N in words, `[K, N / 8]`, in an order of their own. */
export const awq: QuantFormat = {
  name: 'awq',

  detect(raw) {
    return raw.quantisation?.quant_method === 'awq' || qweightModules(raw, 'awq').length > 0;
  },

  async resolve(raw): Promise<ResolvedTensors> {
    const { version, bits } = raw.quantisation ?? {};
    const layout = typeof version === 'string' ? version.toLowerCase() : 'gemm';
    if (layout !== 'gemm') {
      unsupported(raw, `AWQ version ${JSON.stringify(version)} is not supported, only gemm; use a gemm upload`);
    }
    if (bits !== undefined && bits !== 4 && raw.quantisation?.quant_method === 'awq') {
      unsupported(raw, `AWQ with ${JSON.stringify(bits)} bits is not supported, only 4`);
    }
    const modules = qweightModules(raw, 'awq');
    const resolved = modules.map((module) => resolveModule(raw, module));
    return {
      tensors: new Map<string, SourceTensor>(resolved.map((conversion) => [conversion.name, conversion])),
      used: partsOf(raw, modules, ['qweight', 'qzeros', 'scales']),
    };
  },
};

function resolveModule(raw: RawCheckpoint, module: string): Conversion {
  const qweight = raw.tensors.get(`${module}.qweight`)!;
  const scales = companion(raw, qweight, `${module}.scales`);
  checkDType(qweight, ['I32', 'U32']);
  checkDType(scales, ['F16', 'BF16', 'F32']);
  if (qweight.shape.length !== 2) malformed(qweight, `its shape is [${qweight.shape.join(', ')}], expected a matrix`);
  const columns = qweight.shape[0]!;
  const rows = 8 * qweight.shape[1]!;
  const groups = scales.shape[0] ?? 0;
  checkShape(scales, [groups, rows]);
  const group = groups === 0 ? 0 : columns / groups;
  if (!Number.isInteger(group) || group === 0 || columns % 2 !== 0 || rows === 0) {
    malformed(qweight, `its ${columns} columns do not make ${groups} groups`);
  }
  const qzeros = raw.tensors.get(`${module}.qzeros`);
  const symmetric = qzeros === undefined && raw.quantisation?.zero_point === false;
  if (qzeros === undefined && !symmetric) companion(raw, qweight, `${module}.qzeros`);
  if (qzeros !== undefined) {
    checkDType(qzeros, ['I32', 'U32']);
    checkShape(qzeros, [groups, rows / 8]);
  }
  const params: AwqParams = { groups, scale: scales.dtype as AwqParams['scale'] };
  return {
    kind: 'conversion',
    name: `${module}.weight`,
    shape: [rows, columns],
    codec: 'awq',
    params,
    inputs: { qweight, scales, ...(qzeros && { qzeros }) },
    output: {
      format: {
        code: 'u4',
        nibbles: 'low',
        block: { rows: 1, columns: group },
        scale: { dtype: params.scale },
        zero: symmetric ? 8 : { dtype: 'U8' },
      },
    },
  };
}

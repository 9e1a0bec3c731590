import type { MetaTensor } from '@airllm/loader';
import type { QuantFormat, SourceTensor } from '../source';
import { QUANT_STATE, resolve4bit } from './bitsandbytes-4bit';
import { resolveInt8 } from './bitsandbytes-int8';
import { ConstantPool } from './shared/constants';
import { companion, malformed } from './shared/tensors';

/** Parts of a 4-bit weight, which its quantisation state must tell how to read. */
const PART_4BIT = /^(.+)\.(?:absmax|quant_map|nested_absmax|nested_quant_map)$/;
const INT8_PARTS = ['weight', 'SCB', 'weight_format'];
const SCB = /^(.+)\.SCB$/;

/**
 * bitsandbytes: NF4, FP4 and LLM.int8(), in place. Nested maps and states are small; thousands of them are read in
 * parallel when a model is opened.
 */
export const bitsandbytes: QuantFormat = {
  name: 'bitsandbytes',

  detect(raw) {
    const method = raw.quantisation?.quant_method;
    if (method !== undefined) return method === 'bitsandbytes';
    return [...raw.tensors.keys()].some((name) => QUANT_STATE.test(name) || SCB.test(name));
  },

  async resolve(raw) {
    const tensors = new Map<string, SourceTensor>();
    const used = new Set<string>();
    const pool = new ConstantPool();
    const all = [...raw.tensors.values()];
    const blobs = all.filter(({ name }) => QUANT_STATE.test(name));
    for (const resolved of await Promise.all(blobs.map((blob) => resolve4bit(raw, blob, pool)))) {
      tensors.set(resolved.tensor.name, resolved.tensor);
      for (const name of resolved.used) used.add(name);
    }
    const isInt8 = ({ name, dtype }: MetaTensor) => dtype === 'I8' && name.endsWith('.weight') && !used.has(name);
    for (const matrix of await Promise.all(all.filter(isInt8).map((weight) => resolveInt8(raw, weight)))) {
      tensors.set(matrix.name, matrix);
      const module = matrix.name.slice(0, -'weight'.length);
      for (const part of INT8_PARTS) if (raw.tensors.has(module + part)) used.add(module + part);
    }
    for (const tensor of all) if (!used.has(tensor.name)) checkOrphan(tensor);
    return { tensors, used };

    function checkOrphan(tensor: MetaTensor): void {
      const weight = PART_4BIT.exec(tensor.name)?.[1];
      if (weight !== undefined) companion(raw, tensor, `${weight}.quant_state.bitsandbytes__nf4`);
      const module = SCB.exec(tensor.name)?.[1];
      if (module === undefined) return;
      const { dtype } = companion(raw, tensor, `${module}.weight`);
      malformed(tensor, `it belongs to an I8 weight, but ${module}.weight is ${dtype}`);
    }
  },
};

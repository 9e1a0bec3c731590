import { PackedTensor } from '@airllm/kernels';
import { MetaTensor, OptionError } from '@airllm/loader';
import { placeTensor } from '../plan/place';
import { compressConversion } from '../sources/codecs/compress';
import { isConversion, type ModelSource, type SourceTensor } from '../sources/source';
import type { Compression } from './kinds';

const FLOATS: ReadonlySet<string> = new Set(['F32', 'F16', 'BF16']);
/** Narrower ones save nothing. */
const LEAST_COLUMNS = 32;
/** Choose experts: few weights, and a wrong choice costs a whole expert. */
const ROUTER = /(?:^|\.)(?:gate|router|shared_expert_gate)\.(?:\w+\.)*weight$/;
const NOT_LINEAR = /norm|bias|embed|conv/i;
/** Towers of other modalities: small, and more easily hurt. */
const OTHER_MODALITY = /vis(?:ion|ual)|image|audio|speech/i;

/**
 * The tensors of a model with the matrices of its layers compressed, and its head in 8 bits. Norms, biases, embeddings,
 * routers and what belongs to no layer stay as they are. Throws `OptionError` where that makes no sense.
 */
export function compressTensors(source: ModelSource, kind: Compression): ReadonlyMap<string, SourceTensor> {
  refuseUnfit(source, kind);
  const tensors = new Map<string, SourceTensor>();
  let count = 0;
  for (const [name, tensor] of source.tensors) {
    const bits = MetaTensor.isInstance(tensor) ? compressionOf(tensor, kind) : null;
    if (bits === null) tensors.set(name, tensor);
    else {
      count++;
      tensors.set(name, compressConversion(tensor as MetaTensor, bits));
    }
  }
  if (count === 0) fail(kind, 'a model with matrices of floats in layers');
  return tensors;
}

/** What becomes of a tensor; null: it stays. */
function compressionOf({ name, dtype, shape, extent }: MetaTensor, kind: Compression): Compression | null {
  if (extent === undefined || !FLOATS.has(dtype) || shape.length !== 2) return null;
  if (shape[1]! < LEAST_COLUMNS || shape[1]! % 2 !== 0 || !name.endsWith('.weight')) return null;
  const { role, stack, rest } = placeTensor(name);
  if (role === 'head') return '8bit';
  if ((role !== 'layer' && role !== 'expert') || OTHER_MODALITY.test(stack!)) return null;
  return ROUTER.test(rest) || NOT_LINEAR.test(rest) ? null : kind;
}

function refuseUnfit({ tensors, kind: sourceKind, quantisation, config }: ModelSource, kind: Compression): void {
  for (const tensor of tensors.values()) {
    const quantised = PackedTensor.isInstance(tensor) || (isConversion(tensor) && 'format' in tensor.output);
    if (quantised) fail(kind, `nothing, as the model is quantised already (${quantisation ?? sourceKind})`);
  }
  if (sourceKind === 'gguf') fail(kind, 'safetensors or PyTorch weights; this is a GGUF file');
  if (config?.model_type === 'gpt2' && config.conv1d_layout !== 'out,in') {
    fail(kind, 'a model whose matrices are stored [out, in]; those of GPT-2 are [in, out]');
  }
}

function fail(found: Compression, expected: string): never {
  throw new OptionError({ option: 'compress', expected, found });
}

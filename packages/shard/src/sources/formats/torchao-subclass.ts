import type { DType, MetaTensor } from '@airllm/loader';
import type { RawCheckpoint } from '../source';
import type { BlockShape } from './shared/scaled';
import { malformed, unsupported } from './shared/tensors';

/** What torchao says of a quantised parameter in a file's `__metadata__`. */
export interface Subclass {
  readonly type: string;
  /** Of its codes. */
  readonly dtype: DType;
  /** Weights that share a scale. */
  readonly block: BlockShape;
}

/** Tensor subclasses whose codes are plain bytes, and what these are. */
const TYPES: ReadonlyMap<unknown, DType> = new Map<unknown, DType>([
  ['Int8Tensor', 'I8'],
  ['IntxUnpackedToInt8Tensor', 'I8'],
  ['Float8Tensor', 'F8_E4M3'],
]);

/** Parts of a subclass that are known; another one (`act_pre_scale`) may change what the codes mean. */
const PARTS: readonly unknown[] = ['qdata', 'scale', 'zero_point', 'act_quant_scale', 'act_quant_zero_point'];

/** Real entries have some 300 characters. */
const MOST_CHARACTERS = 64 * 1024;

/** Reads `__metadata__[name]`; `codes` is the tensor to name where it is missing or makes no sense. */
export function readSubclass(raw: RawCheckpoint, codes: MetaTensor, name: string): Subclass {
  const fail = (reason: string, cause?: unknown) => malformed(codes, `__metadata__ of ${name}: ${reason}`, cause);
  const text = raw.metadata.get(name);
  if (text === undefined) return fail('missing; it tells the tensor subclass');
  if (text.length > MOST_CHARACTERS) return fail(`${text.length} characters, expected ${MOST_CHARACTERS} at most`);
  let entry: unknown;
  try {
    entry = JSON.parse(text);
  } catch (cause) {
    return fail('not JSON', cause);
  }
  const { _type: type, _data: data, _tensor_data_names: parts } = fieldsOf(entry);
  if (typeof type !== 'string') return fail('_type is missing');
  const dtype = TYPES.get(type);
  if (dtype === undefined) {
    const known = [...TYPES.keys()].join(', ');
    return unsupported(
      raw,
      `${name} is torchao's ${type.slice(0, 80)}; of its subclasses ${known} are supported: ` +
        'save the model with Int8WeightOnlyConfig or Float8WeightOnlyConfig, or take the original',
    );
  }
  const odd = Array.isArray(parts) ? parts.find((part) => !PARTS.includes(part)) : undefined;
  if (odd !== undefined) return unsupported(raw, `${name} has a part ${JSON.stringify(odd)}, which is not supported`);
  const { block_size: block } = fieldsOf(data);
  const whole = (size: unknown) => Number.isSafeInteger(size) && (size as number) > 0;
  if (Array.isArray(block) && block.length === 2 && block.every(whole)) {
    return { type, dtype, block: block as unknown as BlockShape };
  }
  return fail(`block_size is ${JSON.stringify(block)?.slice(0, 80)}, expected [rows, columns]`);
}

function fieldsOf(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
}

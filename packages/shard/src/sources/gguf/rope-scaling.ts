import { FormatError } from '@airllm/loader';
import { shortest } from './metadata';
import type { Gguf } from './open-gguf';

/** Heads have 256 columns at most, and 576 where they are latent. */
const MAX_PAIRS = 4096;

/** The keys of one architecture, as the config's reader has them. */
interface Keys {
  readonly gguf: Gguf;
  key(name: string): string;
  int(name: string, min?: number): number | undefined;
  number(name: string): number | undefined;
}

interface Rope {
  readonly theta: number;
  /** Columns of a head that are rotated. */
  readonly rotated: number;
  readonly maxPositions: number;
}

/** `rope_scaling` (and `original_max_position_embeddings`) of a config, or nothing. Throws `FormatError`. */
export async function ropeScaling(keys: Keys, rope: Rope): Promise<Record<string, unknown>> {
  const long = await factors(keys, 'rope_factors_long.weight', rope);
  const short = await factors(keys, 'rope_factors_short.weight', rope);
  if (long && short) return longRope(keys, rope, { long, short });
  const frequencies = await factors(keys, 'rope_freqs.weight', rope);
  const named = namedScaling(keys, rope);
  if (frequencies === undefined) return named === null ? {} : { rope_scaling: named };
  if (named !== null) {
    keys.gguf.metadata.fail(keys.key('rope.scaling.type'), 'together with rope_freqs.weight is not supported');
  }
  return { rope_scaling: llama3(frequencies, rope) ?? fixedFactors(frequencies, rope) };
}

/** Linear and YaRN, which are numbers in the metadata. */
function namedScaling(keys: Keys, rope: Rope): Record<string, unknown> | null {
  const { metadata } = keys.gguf;
  const type = metadata.string(keys.key('rope.scaling.type')) ?? 'linear';
  // `scale_linear` is the key of 2023.
  const factor = keys.number('rope.scaling.factor') ?? keys.number('rope.scale_linear') ?? 1;
  const attention = keys.number('rope.scaling.attn_factor');
  if (type === 'none' || (type === 'linear' && (factor === 1 || factor === 0))) return null;
  if (type === 'linear') return { rope_type: 'linear', factor };
  if (type !== 'yarn') return metadata.fail(keys.key('rope.scaling.type'), `is "${type}", which is not supported`);
  const original = keys.int('rope.scaling.original_context_length');
  const [fast, slow] = [keys.number('rope.scaling.yarn_beta_fast'), keys.number('rope.scaling.yarn_beta_slow')];
  for (const name of ['rope.scaling.yarn_log_multiplier', 'rope.scaling.yarn_ext_factor']) {
    const value = keys.number(name);
    const neutral = name.endsWith('ext_factor') ? 1 : 0;
    if (value !== undefined && value !== neutral) metadata.fail(keys.key(name), `of ${value} is not supported`);
  }
  return {
    rope_type: 'yarn',
    factor,
    original_max_position_embeddings: original ?? rope.maxPositions,
    ...(fast === undefined ? {} : { beta_fast: fast }),
    ...(slow === undefined ? {} : { beta_slow: slow }),
    // A habit of the one model, which GGUF has no key for.
    ...(metadata.string('general.architecture') === 'gpt-oss' ? { truncate: false } : {}),
    // ggml multiplies its own 1 + 0.1 ln(factor), which is what transformers derives, by this.
    ...(attention === undefined || attention === 1
      ? {}
      : { attention_factor: attention * (1 + 0.1 * Math.log(factor)) }),
  };
}

/** Two lists of divisors: for contexts up to the original length, and beyond (Phi-3). */
function longRope(
  keys: Keys,
  rope: Rope,
  { long, short }: { long: Float32Array; short: Float32Array },
): Record<string, unknown> {
  const original = keys.int('rope.scaling.original_context_length') ?? rope.maxPositions;
  const attention = keys.number('rope.scaling.attn_factor');
  return {
    original_max_position_embeddings: original,
    rope_scaling: {
      rope_type: 'longrope',
      short_factor: Array.from(short, shortest),
      long_factor: Array.from(long, shortest),
      ...(attention === undefined ? {} : { attention_factor: attention }),
    },
  };
}

/**
 * Llama 3's parameters from its divisors, which is all that GGUF has: 1 for short wavelengths, the factor for long ones,
 * and between them a blend that tells the original length. All published models blend from 1 to 4. Undefined where the
 * formula does not give these very divisors.
 */
function llama3(divisors: Float32Array, rope: Rope): Record<string, unknown> | undefined {
  const [low, high] = [1, 4];
  const factor = divisors.at(-1)!;
  const wavelengths = divisors.map((_, i) => 2 * Math.PI * rope.theta ** ((2 * i) / rope.rotated));
  const blended = divisors.findIndex((divisor) => divisor > 1 && divisor < factor);
  if (blended < 0) return undefined;
  const smooth = (1 / divisors[blended]! - 1 / factor) / (1 - 1 / factor);
  const original = Math.round(wavelengths[blended]! * (smooth * (high - low) + low));
  const same = divisors.every((divisor, i) => {
    const share = Math.min(Math.max((original / wavelengths[i]! - low) / (high - low), 0), 1);
    const expected = 1 / ((1 - share) / factor + share);
    return Math.abs(expected - divisor) <= 1e-6 * divisor;
  });
  if (!same) return undefined;
  return {
    rope_type: 'llama3',
    factor,
    low_freq_factor: low,
    high_freq_factor: high,
    original_max_position_embeddings: original,
  };
}

/** Divisors of any origin: LongRoPE with one list for all lengths is exactly that, and transformers reads it. */
function fixedFactors(divisors: Float32Array, rope: Rope): Record<string, unknown> {
  const list = Array.from(divisors);
  return {
    rope_type: 'longrope',
    short_factor: list,
    long_factor: list,
    factor: 1,
    attention_factor: 1,
    original_max_position_embeddings: rope.maxPositions,
  };
}

/** A small F32 vector of divisors, one per rotated pair. */
async function factors(keys: Keys, name: string, rope: Rope): Promise<Float32Array | undefined> {
  const tensor = keys.gguf.tensors.get(name);
  if (tensor === undefined) return undefined;
  const pairs = rope.rotated / 2;
  if (pairs > MAX_PAIRS)
    keys.gguf.metadata.fail(keys.key('rope.dimension_count'), `is ${rope.rotated}, beyond all reason`);
  const fail = (reason: string): never => {
    throw new FormatError({ file: tensor.file, tensor: name, reason });
  };
  if (tensor.type.name !== 'F32' || tensor.shape.length !== 1 || tensor.shape[0] !== pairs) {
    fail(`expected F32 [${pairs}], found ${tensor.type.name} [${tensor.shape.join(', ')}]`);
  }
  const { file, offset } = tensor;
  const bytes = await keys.gguf.source.with(file, file, (opened) => opened.read(offset, 4 * pairs));
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const values = Float32Array.from({ length: pairs }, (_, i) => view.getFloat32(4 * i, true));
  if (!values.every((value) => value > 0 && Number.isFinite(value))) fail('its factors must be above 0');
  return values;
}

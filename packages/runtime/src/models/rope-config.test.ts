import { describe, expect, test } from 'vitest';
import { ConfigError, UnsupportedConfigError } from '../errors';
import { ConfigReader } from './config-reader';
import { type RopeContext, readRope } from './rope-config';

const context: RopeContext = { headDim: 16, maxPositions: 4096 };
const read = (raw: object, more: Partial<RopeContext> = {}) => readRope(new ConfigReader(raw), { ...context, ...more });
const errorOf = (raw: object, more: Partial<RopeContext> = {}) => {
  try {
    return read(raw, more);
  } catch (error) {
    return error;
  }
};

describe('readRope', () => {
  test('takes the default where nothing is said', () => {
    expect(read({})).toEqual({ dim: 16, theta: 10_000, scaling: { type: 'default' } });
    expect(read({}, { theta: 1e6 }).theta).toBe(1e6);
    expect(read({ rope_scaling: null, rope_theta: 5e5 })).toEqual({
      dim: 16,
      theta: 5e5,
      scaling: { type: 'default' },
    });
  });

  test('reads the forms of transformers 4 and 5 alike', () => {
    const four = read({ rope_theta: 5e5, rope_scaling: { type: 'linear', factor: 2 } });
    expect(four).toEqual(read({ rope_parameters: { rope_type: 'linear', rope_theta: 5e5, factor: 2 } }));
    expect(four).toEqual({ dim: 16, theta: 5e5, scaling: { type: 'linear', factor: 2 } });
    // Where both names of the type stand, the newer one counts.
    expect(read({ rope_scaling: { rope_type: 'dynamic', type: 'linear', factor: 2 } }).scaling.type).toBe('dynamic');
    expect(
      read({ rope_scaling: { type: 'linear', factor: 2 }, rope_parameters: { rope_type: 'default' } }).scaling.type,
    ).toBe('linear');
  });

  test('llama3 and dynamic', () => {
    const llama3 = {
      rope_type: 'llama3',
      factor: 8,
      low_freq_factor: 1,
      high_freq_factor: 4,
      original_max_position_embeddings: 1024,
    };
    expect(read({ rope_scaling: llama3 }).scaling).toEqual({
      type: 'llama3',
      factor: 8,
      lowFreqFactor: 1,
      highFreqFactor: 4,
      originalMaxPositions: 1024,
    });
    expect(read({ rope_scaling: { type: 'dynamic', factor: 2 } }).scaling).toEqual({
      type: 'dynamic',
      factor: 2,
      maxPositions: 4096,
    });
  });

  test('yarn: attention factor as given, by mscale, or by the factor', () => {
    const yarn = (more: object, top: object = {}) =>
      read({
        ...top,
        rope_parameters: { rope_type: 'yarn', factor: 4, original_max_position_embeddings: 1024, ...more },
      }).scaling;
    expect(yarn({})).toEqual({
      type: 'yarn',
      factor: 4,
      originalMaxPositions: 1024,
      betaFast: 32,
      betaSlow: 1,
      truncate: true,
      attentionFactor: 0.1 * Math.log(4) + 1,
    });
    expect(yarn({ attention_factor: 0.7 })).toMatchObject({ attentionFactor: 0.7 });
    expect(yarn({ mscale: 2, mscale_all_dim: 0.5 })).toMatchObject({
      attentionFactor: (0.2 * Math.log(4) + 1) / (0.05 * Math.log(4) + 1),
    });
    // Python's truth: a zero counts as not given.
    expect(yarn({ mscale: 2, mscale_all_dim: 0, beta_fast: 0 })).toMatchObject({
      attentionFactor: 0.1 * Math.log(4) + 1,
      betaFast: 32,
    });
    expect(yarn({ factor: null })).toMatchObject({ factor: 4 });
    expect(yarn({ factor: 1 })).toMatchObject({ attentionFactor: 1 });
    expect(yarn({ truncate: false })).toMatchObject({ truncate: false });
    // A key at the top level wins over the one beside the type.
    expect(yarn({}, { original_max_position_embeddings: 512 })).toMatchObject({ originalMaxPositions: 512 });
  });

  test('longrope: factors per pair, attention factor by the growth', () => {
    const factors = { short_factor: [1, 1, 1, 1, 1, 1], long_factor: [1, 2, 3, 4, 5, 6] };
    const spec = read(
      { rope_parameters: { rope_type: 'longrope', partial_rotary_factor: 0.75, ...factors } },
      { partial: true, originalMaxPositions: 1024 },
    );
    expect(spec.dim).toBe(12);
    expect(spec.scaling).toMatchObject({
      type: 'longrope',
      longFactor: [1, 2, 3, 4, 5, 6],
      originalMaxPositions: 1024,
      attentionFactor: Math.sqrt(1 + Math.log(4) / Math.log(1024)),
    });
    const short = { rope_parameters: { rope_type: 'longrope', short_factor: [1], long_factor: [1] } };
    expect(errorOf(short)).toMatchObject({ key: 'rope_parameters.short_factor' });
  });

  test.each([
    ['a type nobody implemented', { rope_parameters: { rope_type: 'proportional' } }, 'rope_parameters.rope_type'],
    ['sections for images', { rope_scaling: { type: 'default', mrope_section: [2, 2] } }, 'rope_scaling.mrope_section'],
    ['parameters per layer type', { rope_parameters: { full_attention: {} } }, 'rope_parameters.full_attention'],
    ['a partial rotation the family lacks', { partial_rotary_factor: 0.5 }, 'rope_parameters.partial_rotary_factor'],
    [
      'a type the family does not read',
      { rope_scaling: { type: 'linear', factor: 2 } },
      'rope_scaling.type',
      { types: { default: 'default' } },
    ],
  ] as [string, object, string, Partial<RopeContext>?][])('refuses %s', (_, raw, key, more) => {
    const error = errorOf(raw, more);
    expect(UnsupportedConfigError.isInstance(error)).toBe(true);
    expect(error).toMatchObject({ key });
  });

  test.each([
    ['a scaling without its factor', { rope_scaling: { type: 'linear' } }, 'rope_scaling.factor'],
    ['a base of zero', { rope_theta: 0 }, 'rope_parameters.rope_theta'],
    [
      'two partial factors',
      { partial_rotary_factor: 0.5, rope_parameters: { partial_rotary_factor: 0.75 } },
      'rope_parameters.partial_rotary_factor',
    ],
    ['an odd rotary width', { partial_rotary_factor: 0.2 }, 'rope_parameters.partial_rotary_factor'],
  ])('finds %s wrong', (_, raw, key) => {
    const error = errorOf(raw, { partial: true });
    expect(ConfigError.isInstance(error)).toBe(true);
    expect(error).toMatchObject({ key });
  });
});

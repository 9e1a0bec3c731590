import { describe, expect, test } from 'vitest';
import { ConfigError, UnsupportedConfigError } from '../errors';
import { ConfigReader } from './config-reader';

/** The error of a read, whose class and facts are asserted. */
function errorOf(read: () => unknown): unknown {
  try {
    read();
  } catch (error) {
    return error;
  }
  throw new Error('expected an error');
}

const reader = (raw: unknown) => new ConfigReader(raw);

describe('ConfigReader', () => {
  test('reads what is there and takes defaults for what is absent or null', () => {
    const config = reader({ a: 3, b: null, c: 1e6, d: true, e: 'x', list: [1, 2.5] });
    expect(config.int('a')).toBe(3);
    expect(config.int('b', { default: 7 })).toBe(7);
    expect(config.int('absent', { default: 8 })).toBe(8);
    expect(config.number('c')).toBe(1_000_000);
    expect(config.bool('d', { default: false })).toBe(true);
    expect(config.bool('b', { default: true })).toBe(true);
    expect(config.oneOf('e', ['x', 'y'], { default: 'y' })).toBe('x');
    expect(config.numbers('list')).toEqual([1, 2.5]);
    expect(config.has('b')).toBe(false);
    expect(config.object('b')).toBeUndefined();
  });

  test('tells null from absent where transformers does', () => {
    expect(reader({ sliding_window: null }).optionalInt('sliding_window', { default: 4096 })).toBeUndefined();
    expect(reader({}).optionalInt('sliding_window', { default: 4096 })).toBe(4096);
    expect(reader({ sliding_window: 8 }).optionalInt('sliding_window', { default: 4096 })).toBe(8);
    expect(reader({ num_key_value_heads: null }).kvHeads(8, { default: 4 })).toBe(8);
    expect(reader({}).kvHeads(8, { default: 4 })).toBe(4);
  });

  test.each([
    ['a string for a number', () => reader({ n: '3' }).int('n'), 'n'],
    ['a fraction', () => reader({ n: 1.5 }).int('n'), 'n'],
    ['zero', () => reader({ n: 0 }).int('n'), 'n'],
    ['a negative number', () => reader({ n: -4 }).int('n'), 'n'],
    ['a dimension no model has', () => reader({ n: 1e15 }).int('n'), 'n'],
    ['layers without end', () => reader({ n: 1e6 }).layerCount('n', { default: 1 }), 'n'],
    ['an absent required key', () => reader({}).int('n'), 'n'],
    ['a number out of range', () => reader({ n: -0.5 }).number('n', { min: 0 }), 'n'],
    ['infinity', () => reader({ n: Infinity }).number('n'), 'n'],
    ['a number for a flag', () => reader({ n: 1 }).bool('n', { default: false }), 'n'],
    ['a list with text in it', () => reader({ n: [1, 'x'] }).numbers('n'), 'n'],
    ['heads that do not divide', () => reader({ num_key_value_heads: 3 }).kvHeads(8), 'num_key_value_heads'],
    ['a width that heads do not divide', () => reader({}).headDim(100, 3), 'hidden_size'],
    ['too few layer types', () => reader({ layer_types: ['a'] }).layerTypes(2, ['a']), 'layer_types'],
    ['an array for an object', () => reader({ n: [] }).object('n'), 'n'],
    ['text for the file', () => reader('{}'), '(whole file)'],
    ['a key that every object inherits', () => reader({}).int('constructor'), 'constructor'],
  ])('refuses %s', (_, read, key) => {
    const error = errorOf(read);
    expect(ConfigError.isInstance(error)).toBe(true);
    expect(error).toMatchObject({ key });
  });

  test('names nested keys by their path, and what is supported', () => {
    const inner = reader({ rope: { type: 'x' } }).object('rope')!;
    const error = errorOf(() => inner.oneOf('type', ['a', 'b'], { default: 'a' }));
    expect(UnsupportedConfigError.isInstance(error)).toBe(true);
    expect(error).toMatchObject({ key: 'rope.type', found: 'x', supported: ['a', 'b'] });
  });

  test('maps the names of activations that are the same function', () => {
    const kind = (name: string) => reader({ hidden_act: name }).activation('hidden_act', { default: 'silu' });
    expect(kind('swish')).toBe('silu');
    expect(kind('gelu')).toBe('gelu');
    expect(kind('gelu_new')).toBe('gelu_tanh');
    expect(kind('quick_gelu')).toBe('gelu_quick');
    expect(errorOf(() => kind('mish'))).toMatchObject({ key: 'hidden_act', found: 'mish' });
    expect(errorOf(() => kind('toString'))).toMatchObject({ key: 'hidden_act', found: 'toString' });
  });

  test('refuses unknown layer types and keys that only their absence makes right', () => {
    const config = reader({ layer_types: ['full_attention', 'mamba'], flag: true });
    expect(errorOf(() => config.layerTypes(2, ['full_attention']))).toMatchObject({
      key: 'layer_types',
      found: 'mamba',
    });
    expect(errorOf(() => config.refuse('flag', [false]))).toMatchObject({ key: 'flag', found: true });
    expect(() => reader({ flag: false }).refuse('flag', [false])).not.toThrow();
    expect(() => reader({ flag: null }).refuse('flag')).not.toThrow();
  });
});

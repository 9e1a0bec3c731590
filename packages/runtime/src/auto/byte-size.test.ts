import { OptionError } from '@airllm/loader';
import { expect, test } from 'vitest';
import { parseByteSize } from './byte-size';

test.each([
  ['4GB', 4e9],
  ['4 gb', 4e9],
  ['512MiB', 512 * 2 ** 20],
  ['1.5G', 1.5e9],
  ['100', 100],
  [12345, 12345],
  ['2TiB', 2 * 2 ** 40],
])('%s is %d bytes', (size, bytes) => {
  expect(parseByteSize(size, 'memory')).toBe(bytes);
});

test.each(['', 'GB', '-1GB', '4XB', '0', '1e400', 'NaN', Number.NaN, -5])('%s is refused', (size) => {
  try {
    parseByteSize(size, 'memory');
    expect.unreachable();
  } catch (error) {
    expect(OptionError.isInstance(error) && error.option).toBe('memory');
  }
});

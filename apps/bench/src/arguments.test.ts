import { parseArgs } from 'node:util';
import { OptionError } from '@airllm/loader';
import { expect, test } from 'vitest';
import { count, isUsageError, numbers, oneFolder, sizes, UsageError } from './arguments';

const thrownBy = (call: () => unknown): unknown => {
  try {
    call();
  } catch (error) {
    return error;
  }
  throw new Error('nothing was thrown');
};

test('values are read as what they are', () => {
  expect(oneFolder(['here'], 'bench x')).toBe('here');
  expect(count('12', 'new')).toBe(12);
  expect(numbers('10,12.5', 'percent')).toEqual([10, 12.5]);
  expect(sizes('1GB,2MiB', 'memory')).toEqual([1e9, 2 ** 21]);
});

test.each([
  ['new', () => count('0', 'new')],
  ['new', () => count('1.5', 'new')],
  ['percent', () => numbers('10,,20', 'percent')],
  ['percent', () => numbers('-1', 'percent')],
  ['memory', () => sizes('4GiB,much', 'memory')],
])('a bad --%s is named', (option, call) => {
  const error = thrownBy(call);
  expect(OptionError.isInstance(error)).toBe(true);
  expect((error as OptionError).option).toBe(`--${option}`);
  expect(isUsageError(error)).toBe(true);
});

test('no folder, or two, is answered with the usage', () => {
  for (const positionals of [[], ['a', 'b']]) {
    expect(thrownBy(() => oneFolder(positionals, 'bench x'))).toBeInstanceOf(UsageError);
  }
});

test('what the parser refuses counts as usage, what breaks later does not', () => {
  expect(isUsageError(thrownBy(() => parseArgs({ args: ['--nonsense'], options: {} })))).toBe(true);
  expect(isUsageError(new TypeError('x is not a function'))).toBe(false);
});

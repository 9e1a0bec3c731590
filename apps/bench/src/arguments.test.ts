import { parseArgs } from 'node:util';
import { OptionError } from '@airllm/loader';
import { expect, test } from 'vitest';
import { count, isUsageError, numbers, oneFolder, readFolderAndOptions, readOptions, UsageError } from './arguments';
import { sizes } from './byte-sizes';

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

test('an option is what it was given, else its default', () => {
  const defaults = { new: '4', memory: undefined, compare: false } as const;
  expect(readOptions(['--new', '7', '--compare'], defaults)).toEqual({ new: '7', memory: undefined, compare: true });
  expect(readOptions([], defaults)).toEqual({ new: '4', memory: undefined, compare: false });
  expect(readFolderAndOptions(['here', '--memory', '1GB'], 'bench x', defaults)).toEqual({
    dir: 'here',
    values: { new: '4', memory: '1GB', compare: false },
  });
  for (const args of [['here'], ['--nonsense']]) {
    expect(isUsageError(thrownBy(() => readOptions(args, defaults)))).toBe(true);
  }
});

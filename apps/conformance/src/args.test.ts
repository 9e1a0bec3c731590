import { describe, expect, it } from 'vitest';
import { readArgs, UsageError } from './args';

describe('readArgs', () => {
  it('reads every option', () => {
    const argv = '--executor reference --weights-memory 64MB --threads 2 --packages p --skip-unsupported a b'.split(
      ' ',
    );
    expect(readArgs(argv)).toEqual({
      executor: 'reference',
      weightsMemory: '64MB',
      threads: 2,
      packagesDir: 'p',
      skipUnsupported: true,
      paths: ['a', 'b'],
    });
  });

  it('leaves out what was not given, so that the defaults of the runtime hold', () => {
    expect(readArgs([])).toEqual({ paths: [], skipUnsupported: false });
    expect(readArgs(['--', 'a'])).toEqual({ paths: ['a'], skipUnsupported: false });
  });

  it('answers undefined to a call for help', () => {
    expect(readArgs(['--help'])).toBeUndefined();
  });

  it.each([['--executor', 'fast'], ['--threads', '0'], ['--threads', 'two'], ['--nonsense']])(
    'refuses %s %s',
    (...argv) => {
      expect(() => readArgs(argv)).toThrow(UsageError);
    },
  );
});

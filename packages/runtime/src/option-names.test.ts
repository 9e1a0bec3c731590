import { OptionError } from '@airllm/loader';
import { expect, test } from 'vitest';
import { AutoModel } from './auto/auto-model';
import { checkOptionNames } from './option-names';

test('a name that nobody reads is refused with those there are', () => {
  const names = { memory: true, threads: true } as const;
  expect(() => checkOptionNames({ memory: 1, threads: undefined, other: undefined }, names)).not.toThrow();
  expect(() => checkOptionNames({ memry: '4GB' }, names)).toThrow(
    expect.objectContaining({ option: 'memry', expected: 'one of memory, threads', found: '4GB' }),
  );
  // Own names only: what every object inherits is none.
  expect(() => checkOptionNames({ toString: 1 }, names)).toThrow(/toString/);
});

test('a misspelt limit of memory does not open a model without one', async () => {
  const options = { memry: '4GB' } as object;
  await expect(AutoModel.fromPretrained('/nowhere', options)).rejects.toSatisfy(
    (error) => OptionError.isInstance(error) && error.option === 'memry',
  );
});

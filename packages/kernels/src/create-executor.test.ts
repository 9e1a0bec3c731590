import { OptionError } from '@airllm/loader';
import { expect, it } from 'vitest';
import { chooseExecutor, createExecutor, type Openers } from './create-executor';
import { ExecutorUnavailableError } from './errors';
import { NativeExecutor } from './native/native-executor';
import { ReferenceExecutor } from './reference/reference-executor';

/** A machine without the native library. */
const withoutNative: Openers = {
  native: () => NativeExecutor.open({ library: '/nowhere/airllm-kernels.so' }),
  reference: () => new ReferenceExecutor(),
};

it('opens the executor that is named', async () => {
  const warnings: string[] = [];
  const onWarning = (message: string) => warnings.push(message);
  const reference = await createExecutor({ executor: 'reference', onWarning });
  expect(reference.info).toEqual({ name: 'reference', isa: 'js', threads: 1 });
  await reference.dispose();
  expect(warnings).toEqual([]);
});

it('passes the number of threads on', async () => {
  const asked: unknown[] = [];
  const native = (options: object) => {
    asked.push(options);
    return new ReferenceExecutor();
  };
  await chooseExecutor({ threads: 3 }, { ...withoutNative, native }).dispose();
  expect(asked).toEqual([{ threads: 3 }]);
});

it('falls back to reference with one line that says why', async () => {
  const warnings: string[] = [];
  const executor = chooseExecutor({ onWarning: (message) => warnings.push(message) }, withoutNative);
  expect(executor.info.name).toBe('reference');
  expect(warnings.length).toBe(1);
  expect(warnings[0]).toContain('/nowhere/airllm-kernels.so');
  expect(warnings[0]).not.toContain('\n');
  await executor.dispose();
});

it('refuses where native was asked for and is not there', () => {
  expect(() => chooseExecutor({ executor: 'native' }, withoutNative)).toThrow(
    expect.toSatisfy(ExecutorUnavailableError.isInstance),
  );
});

it('refuses names it does not know', async () => {
  const executor = 'onnx' as 'native';
  await expect(createExecutor({ executor })).rejects.toSatisfy(OptionError.isInstance);
  await expect(createExecutor({ executor: 'toString' as 'native' })).rejects.toSatisfy(OptionError.isInstance);
});

import { OptionError } from '@airllm/loader';
import { expect, it } from 'vitest';
import { chooseExecutor, createExecutor, type Openers } from './create-executor';
import { ExecutorUnavailableError } from './errors';
import { NativeExecutor } from './native/native-executor';
import { OnnxExecutor } from './onnx/onnx-executor';
import { ReferenceExecutor } from './reference/reference-executor';

/** A machine without the native library and onnxruntime-node. */
const withoutNative: Openers = {
  native: () => NativeExecutor.open({ library: '/nowhere/airllm-kernels.so' }),
  onnx: () => {
    throw new ExecutorUnavailableError({ executor: 'onnx', reason: 'onnxruntime-node is not installed' });
  },
  reference: () => new ReferenceExecutor(),
};

it('opens the executor that is named', async () => {
  const warnings: string[] = [];
  const onWarning = (message: string) => warnings.push(message);
  const reference = await createExecutor({ executor: 'reference', onWarning });
  expect(reference.info).toEqual({ name: 'reference', isa: 'js', threads: 1, computeDtype: 'float32' });
  await reference.dispose();
  expect(warnings).toEqual([]);
});

it('passes the number of threads on', async () => {
  const asked: unknown[] = [];
  const native = (options: object) => {
    asked.push(options);
    return new ReferenceExecutor();
  };
  const executor = await chooseExecutor({ threads: 3 }, { ...withoutNative, native });
  await executor.dispose();
  expect(asked).toEqual([{ threads: 3 }]);
});

it('falls back to onnx on the CPU before that', async () => {
  const warnings: string[] = [];
  const onnx = (options: object) => OnnxExecutor.open(options);
  const onWarning = (message: string) => warnings.push(message);
  const executor = await chooseExecutor({ onWarning, provider: 'webgpu' }, { ...withoutNative, onnx });
  expect(executor.info).toMatchObject({ name: 'onnx', isa: 'cpu', computeDtype: 'float32' });
  expect(warnings).toEqual([expect.stringContaining('onnxruntime on the CPU')]);
  await executor.dispose();
});

it('falls back to reference with one line that says why', async () => {
  const warnings: string[] = [];
  const executor = await chooseExecutor({ onWarning: (message) => warnings.push(message) }, withoutNative);
  expect(executor.info.name).toBe('reference');
  expect(warnings.length).toBe(1);
  expect(warnings[0]).toContain('/nowhere/airllm-kernels.so');
  expect(warnings[0]).not.toContain('\n');
  await executor.dispose();
});

it('refuses where native was asked for and is not there', async () => {
  const chosen = chooseExecutor({ executor: 'native' }, withoutNative);
  await expect(chosen).rejects.toSatisfy(ExecutorUnavailableError.isInstance);
});

it('says that onnx has no bfloat16', async () => {
  const asked = createExecutor({ executor: 'onnx', computeDtype: 'bfloat16' });
  await expect(asked).rejects.toSatisfy(ExecutorUnavailableError.isInstance);
});

it('refuses names it does not know', async () => {
  const executor = 'torch' as 'native';
  await expect(createExecutor({ executor })).rejects.toSatisfy(OptionError.isInstance);
  await expect(createExecutor({ executor: 'toString' as 'native' })).rejects.toSatisfy(OptionError.isInstance);
});

it('computes in float32 unless asked otherwise', async () => {
  for (const computeDtype of ['float32', 'bfloat16'] as const) {
    for (const executor of ['auto', 'reference'] as const) {
      const opened = await createExecutor({ executor, computeDtype });
      expect(opened.info.computeDtype).toBe(computeDtype);
      await opened.dispose();
    }
  }
  const plain = await createExecutor();
  expect(plain.info.computeDtype).toBe('float32');
  await plain.dispose();
});

it('takes auto as float32 where nothing is gained by bfloat16', async () => {
  const reference = await createExecutor({ executor: 'reference', computeDtype: 'auto' });
  expect(reference.info.computeDtype).toBe('float32');
  await reference.dispose();
});

it('refuses dtypes it does not compute with', async () => {
  const computeDtype = 'float16' as 'float32';
  await expect(createExecutor({ computeDtype })).rejects.toSatisfy(OptionError.isInstance);
});

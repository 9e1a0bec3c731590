import type { Executor } from '@airllm/kernels';
import { HostBuffer, OptionError } from '@airllm/loader';
import type { DeviceSpeeds } from '../plan/predict';
import {
  BUDGET_MS,
  Chain,
  INPUTS,
  MATRIX_BYTES,
  type MeasuredDType,
  MOST_ROWS,
  prefillRows,
  WEIGHT_BYTE,
} from './chain';
import { meanSeconds, without } from './mean-seconds';

const SMALL_WIDTH = 64;
const SMALL_RUNS = 50;
/** Share of the device's memory to measure with. */
const SHARE = 1 / 8;

/**
 * Brings made-up weights to an executor's device and computes with them there, for a second or two. Throws `OptionError`
 * for an executor without a device, what uploading throws, and the signal's reason.
 */
export async function measureDevice(
  executor: Executor,
  options: { readonly dtype: MeasuredDType; readonly signal?: AbortSignal | undefined },
): Promise<DeviceSpeeds> {
  const { device } = executor;
  if (device === undefined) {
    throw new OptionError({ option: 'executor', expected: 'one with a device', found: executor.info.name });
  }
  const { dtype, signal } = options;
  const callSeconds = await measureCall(executor, signal);
  const rowBytes = INPUTS * (dtype === 'F32' ? 4 : 2);
  const outputs = Math.max(1, Math.floor(Math.min(MATRIX_BYTES, SHARE * device.limitBytes) / rowBytes));
  const bytes = outputs * rowBytes;
  using buffer = HostBuffer.allocate(bytes, { label: 'weights to measure with' });
  buffer.bytes().fill(WEIGHT_BYTE);
  using product = new Chain(executor, dtype, { widths: [INPUTS, outputs], maxRows: MOST_ROWS });
  const upload = await meanSeconds(async () => (await product.upload(device, buffer, 0)).dispose(), BUDGET_MS, signal);
  const weights = await product.upload(device, buffer, 0);
  try {
    const decode = await meanSeconds(() => product.runOn(device, 1, weights), BUDGET_MS, signal);
    const rows = prefillRows(decode);
    const prefill = await meanSeconds(() => product.runOn(device, rows, weights), BUDGET_MS, signal);
    return {
      uploadBytesPerSecond: bytes / upload,
      bytesPerSecond: bytes / without(decode, callSeconds),
      flopsPerSecond: (2 * rows * INPUTS * outputs) / without(prefill, callSeconds),
      callSeconds,
    };
  } finally {
    weights.dispose();
  }
}

/** A product so small that only the call counts, with its values going there and back. */
async function measureCall(executor: Executor, signal: AbortSignal | undefined): Promise<number> {
  const device = executor.device!;
  using buffer = HostBuffer.allocate(4 * SMALL_WIDTH * SMALL_WIDTH, { label: 'weights to measure with' });
  using small = new Chain(executor, 'F32', { widths: [SMALL_WIDTH, SMALL_WIDTH], maxRows: 1 });
  const weights = await small.upload(device, buffer, 0);
  try {
    return await meanSeconds(() => small.runOn(device, 1, weights), BUDGET_MS, signal, SMALL_RUNS);
  } finally {
    weights.dispose();
  }
}

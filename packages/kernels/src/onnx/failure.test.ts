import { expect, it } from 'vitest';
import { failureOf } from './failure';

it.each([
  // Dawn, where the driver had no memory: seen on SwiftShader.
  ['memory', 'WebGPU validation failed. [Invalid Buffer (unlabeled)] is invalid due to a previous error.\n - While'],
  ['memory', 'WebGPU validation failed. Buffer size (1074790400) exceeds the max buffer size limit (1073741824).'],
  ['memory', 'vkAllocateMemory failed with VK_ERROR_OUT_OF_DEVICE_MEMORY'],
  ['memory', 'Array buffer allocation failed'],
  ['memory', 'std::bad_alloc'],
  ['lost', 'A valid external Instance reference no longer exists; device is lost'],
  ['lost', 'vkQueueSubmit failed with VK_ERROR_DEVICE_LOST'],
  ['refused', 'Non-zero status code returned while running Gemm node. Name: 3'],
])('tells %s failures by their message', (kind, message) => {
  expect(failureOf(message)).toBe(kind);
});

import { crc32 } from '../crc32';
import { viewMemory } from '../foreign';
import type { Target } from './protocol';

/** CRC-32 of every `each` bytes. */
export function checksumsAt(target: Target, length: number, each: number): Uint32Array {
  const view = viewOf(target, length);
  return Uint32Array.from({ length: length / each }, (_, i) => crc32(view.subarray(i * each, (i + 1) * each)));
}

export function viewOf(target: Target, length: number): Uint8Array {
  return 'address' in target
    ? new Uint8Array(viewMemory(target.address, length))
    : new Uint8Array(target.buffer, target.start, length);
}

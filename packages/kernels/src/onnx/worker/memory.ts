import { viewMemory } from '@airllm/loader';
import type { MemoryRef } from '../protocol';

/** Bytes of a piece of the host's memory, uncopied. */
export function bytesAt({ address, length }: MemoryRef, from = 0, count: number = length - from): Uint8Array {
  return new Uint8Array(viewMemory(address + BigInt(from), count));
}

/** Float32 values at an address that is a multiple of 4, uncopied. */
export function floatsAt({ address, length }: MemoryRef): Float32Array {
  return new Float32Array(viewMemory(address, length), 0, length >> 2);
}

import { StateError } from '../errors';
import type { KvCacheDType, KvStateSpec } from '../graph/graph';
import { BLOCK_POSITIONS, kvLayout } from './kv-layout';

/**
 * Layout, little-endian: nine uint32 (magic, version, kvHeads, keyDim, valueDim, window or 0, dtype, start, length), then
 * the blocks from start / 32 on as they lie in memory, with zeros at positions nothing was stored at.
 */
const MAGIC = 0x564b4c41; // "ALKV"
const VERSION = 2;
const HEADER_WORDS = 9;
const DTYPES: readonly KvCacheDType[] = ['float32', 'bfloat16', 'int8'];

export interface KvContent {
  readonly start: number;
  readonly length: number;
  /** By logical block index, of at least a block's bytes each; those before `start` are absent. */
  readonly blocks: readonly (Uint8Array | undefined)[];
}

export function encodeSnapshot(state: KvContent & { readonly spec: KvStateSpec }): Uint8Array {
  const { spec, start, length } = state;
  const blockBytes = kvLayout(spec).bytes;
  const blocks = state.blocks.slice(start / BLOCK_POSITIONS);
  const bytes = new Uint8Array(4 * HEADER_WORDS + blocks.length * blockBytes);
  new Uint32Array(bytes.buffer, 0, HEADER_WORDS).set([...specWords(spec), start, length]);
  blocks.forEach((block, i) => {
    const at = 4 * HEADER_WORDS + i * blockBytes;
    const copy = bytes.subarray(at, at + blockBytes);
    copy.set(block!.subarray(0, blockBytes));
    clearFrom(copy, spec, length - start - i * BLOCK_POSITIONS);
  });
  return bytes;
}

export function decodeSnapshot(spec: KvStateSpec, snapshot: Uint8Array): KvContent {
  // A copy, because the bytes may lie at any offset of their buffer. (`slice` of a Node Buffer would be none.)
  const bytes = new Uint8Array(snapshot);
  if (bytes.length < 4 * HEADER_WORDS) throw new StateError(`a snapshot of ${bytes.length} bytes has no header`);
  const header = [...new Uint32Array(bytes.buffer, 0, HEADER_WORDS)];
  const expected = specWords(spec);
  if (expected.some((word, i) => header[i] !== word)) {
    throw new StateError(
      `a snapshot of another state or version: found [${header.slice(0, 7).join(', ')}], expected [${expected.join(', ')}] ` +
        '(magic, version, kvHeads, keyDim, valueDim, window, dtype)',
    );
  }
  const [start, length] = header.slice(7) as [number, number];
  const count = Math.ceil(length / BLOCK_POSITIONS) - start / BLOCK_POSITIONS;
  const blockBytes = kvLayout(spec).bytes;
  const size = 4 * HEADER_WORDS + count * blockBytes;
  if (start % BLOCK_POSITIONS !== 0 || start > length || bytes.length !== size) {
    throw new StateError(
      `a damaged snapshot: ${bytes.length} bytes for positions ${start} to ${length}, expected ${size}`,
    );
  }
  const blocks: (Uint8Array | undefined)[] = Array.from({ length: start / BLOCK_POSITIONS }, () => undefined);
  for (let at = 4 * HEADER_WORDS; at < size; at += blockBytes) blocks.push(bytes.subarray(at, at + blockBytes));
  return { start, length, blocks };
}

function specWords(spec: KvStateSpec): number[] {
  const { kvHeads, keyDim, valueDim, window, dtype } = spec;
  return [MAGIC, VERSION, kvHeads, keyDim, valueDim, window ?? 0, DTYPES.indexOf(dtype)];
}

/** Zeros for the positions of a block from `filled` on. */
export function clearFrom(block: Uint8Array, spec: KvStateSpec, filled: number): void {
  if (filled >= BLOCK_POSITIONS) return;
  const { itemBytes, keyItems, valueItems, scales } = kvLayout(spec);
  const clear = (from: number, length: number, positionBytes: number) => {
    const each = BLOCK_POSITIONS * positionBytes;
    for (let at = from; at < from + length; at += each) block.fill(0, at + filled * positionBytes, at + each);
  };
  clear(0, keyItems * itemBytes, itemBytes);
  clear(keyItems * itemBytes, valueItems * itemBytes, spec.valueDim * itemBytes);
  if (scales) clear(4 * scales.keys, 8 * scales.count, 4);
}

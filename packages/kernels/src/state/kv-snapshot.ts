import { StateError } from '../errors';
import type { KvStateSpec } from '../graph/graph';
import { BLOCK_POSITIONS, kvBlockBytes } from './kv-layout';

/**
 * Layout, little-endian: eight uint32 (magic, version, kvHeads, keyDim, valueDim, window or 0, start, length), then the
 * blocks from start / 32 on as they lie in memory, with zeros at positions nothing was stored at.
 */
const MAGIC = 0x564b4c41; // "ALKV"
const VERSION = 1;
const HEADER_WORDS = 8;

export interface KvContent {
  readonly start: number;
  readonly length: number;
  /** By logical block index; those before `start` are absent. */
  readonly blocks: readonly (Float32Array | undefined)[];
}

export function encodeSnapshot(state: KvContent & { readonly spec: KvStateSpec }): Uint8Array {
  const { spec, start, length } = state;
  const blockFloats = kvBlockBytes(spec) / 4;
  const blocks = state.blocks.slice(start / BLOCK_POSITIONS);
  const words = new Uint32Array(HEADER_WORDS + blocks.length * blockFloats);
  words.set([...specWords(spec), start, length]);
  const floats = new Float32Array(words.buffer, 4 * HEADER_WORDS);
  blocks.forEach((block, i) => {
    const copy = floats.subarray(i * blockFloats, (i + 1) * blockFloats);
    copy.set(block!.subarray(0, blockFloats));
    clearFrom(copy, spec, length - start - i * BLOCK_POSITIONS);
  });
  return new Uint8Array(words.buffer);
}

export function decodeSnapshot(spec: KvStateSpec, bytes: Uint8Array): KvContent {
  // A copy, because the bytes may lie at any offset of their buffer. (`slice` of a Node Buffer would be none.)
  const { buffer } = new Uint8Array(bytes);
  if (buffer.byteLength < 4 * HEADER_WORDS)
    throw new StateError(`a snapshot of ${buffer.byteLength} bytes has no header`);
  const header = [...new Uint32Array(buffer, 0, HEADER_WORDS)];
  const expected = specWords(spec);
  if (expected.some((word, i) => header[i] !== word)) {
    throw new StateError(
      `a snapshot of another state or version: found [${header.slice(0, 6).join(', ')}], expected [${expected.join(', ')}] ` +
        '(magic, version, kvHeads, keyDim, valueDim, window)',
    );
  }
  const [start, length] = header.slice(6) as [number, number];
  const count = Math.ceil(length / BLOCK_POSITIONS) - start / BLOCK_POSITIONS;
  const size = 4 * HEADER_WORDS + count * kvBlockBytes(spec);
  if (start % BLOCK_POSITIONS !== 0 || start > length || buffer.byteLength !== size) {
    throw new StateError(
      `a damaged snapshot: ${buffer.byteLength} bytes for positions ${start} to ${length}, expected ${size}`,
    );
  }
  const floats = new Float32Array(buffer, 4 * HEADER_WORDS);
  const blockFloats = kvBlockBytes(spec) / 4;
  const blocks: (Float32Array | undefined)[] = Array.from({ length: start / BLOCK_POSITIONS }, () => undefined);
  for (let i = 0; i < count; i++) blocks.push(floats.subarray(i * blockFloats, (i + 1) * blockFloats));
  return { start, length, blocks };
}

function specWords(spec: KvStateSpec): number[] {
  return [MAGIC, VERSION, spec.kvHeads, spec.keyDim, spec.valueDim, spec.window ?? 0];
}

/** Zeros for the positions of a block from `filled` on. */
function clearFrom(block: Float32Array, spec: KvStateSpec, filled: number): void {
  if (filled >= BLOCK_POSITIONS) return;
  const clear = (at: number, dim: number) => {
    for (let h = 0; h < spec.kvHeads; h++) {
      const head = at + h * BLOCK_POSITIONS * dim;
      block.fill(0, head + filled * dim, head + BLOCK_POSITIONS * dim);
    }
  };
  clear(0, spec.keyDim);
  clear(spec.kvHeads * BLOCK_POSITIONS * spec.keyDim, spec.valueDim);
}

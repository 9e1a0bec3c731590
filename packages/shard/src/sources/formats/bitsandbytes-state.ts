import type { MetaTensor } from '@airllm/loader';
import type { RawCheckpoint } from '../source';
import { checkDType, malformed, unsupported } from './shared/tensors';

/** What bitsandbytes says of a 4-bit matrix, in a blob beside it. */
export interface QuantState {
  /** `[N, K]`. */
  readonly shape: readonly [number, number];
  /** Weights of the flattened matrix that share an absmax. */
  readonly blockSize: number;
  /** Of double quantisation: absmax values that share a float32 one, and what is added to each. */
  readonly nested?: { readonly blockSize: number; readonly offset: number };
}

/** Real blobs have some 200 bytes. */
const MOST_BYTES = 64 * 1024;

/** What bitsandbytes' kernels offer. */
const BLOCK_SIZES: readonly unknown[] = [32, 64, 128, 256, 512, 1024, 2048, 4096];

/** Reads the blob `<weight>.quant_state.bitsandbytes__<kind>`: UTF-8 JSON in U8. */
export async function readQuantState(raw: RawCheckpoint, blob: MetaTensor, kind: string): Promise<QuantState> {
  checkDType(blob, ['U8']);
  if (blob.byteLength > MOST_BYTES) malformed(blob, `it has ${blob.byteLength} bytes, expected ${MOST_BYTES} at most`);
  const state = parse(blob, await raw.read(blob));
  if (state.quant_type !== kind) malformed(blob, `quant_type is ${shown(state.quant_type)}, but its name says ${kind}`);
  const shape = shapeOf(raw, blob, state.shape);
  const blockSize = blockSizeOf(blob, 'blocksize', state.blocksize);
  const { nested_blocksize: nestedBlockSize, nested_offset: offset } = state;
  if (nestedBlockSize === undefined && offset === undefined) return { shape, blockSize };
  if (typeof offset !== 'number' || !Number.isFinite(Math.fround(offset))) {
    malformed(blob, `nested_offset is ${shown(offset)}, expected a number`);
  }
  return {
    shape,
    blockSize,
    nested: { blockSize: blockSizeOf(blob, 'nested_blocksize', nestedBlockSize), offset: Math.fround(offset) },
  };
}

function parse(blob: MetaTensor, bytes: Uint8Array): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (cause) {
    malformed(blob, 'it is not a quantisation state: expected JSON', cause);
  }
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  return malformed(blob, 'it is not a quantisation state: expected a JSON object');
}

function shapeOf(raw: RawCheckpoint, blob: MetaTensor, shape: unknown): readonly [number, number] {
  const whole = (size: unknown) => Number.isSafeInteger(size) && (size as number) > 0;
  if (!Array.isArray(shape) || !shape.every(whole)) {
    malformed(blob, `shape is ${shown(shape)}, expected a list of positive whole numbers`);
  }
  if (shape.length === 2) return shape as unknown as [number, number];
  if (shape.length !== 3) malformed(blob, `shape is ${shown(shape)}, expected [rows, columns]`);
  return unsupported(
    raw,
    `${blob.name} speaks of a stack of matrices ${shown(shape)}; use an upload with one weight per expert`,
  );
}

function blockSizeOf(blob: MetaTensor, key: string, size: unknown): number {
  if (BLOCK_SIZES.includes(size)) return size as number;
  return malformed(blob, `${key} is ${shown(size)}, expected ${BLOCK_SIZES.join(', ')}`);
}

/** A value of a blob for people; a long one cut short. */
function shown(value: unknown): string {
  const text = JSON.stringify(value) ?? 'missing';
  return text.length > 80 ? `${text.slice(0, 80)}…` : text;
}

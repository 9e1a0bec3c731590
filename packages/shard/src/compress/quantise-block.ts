import {
  type Block,
  Codebook,
  integerError,
  refinedScale,
  refinedTableScale,
  tableError,
  toBfloat16,
} from './block-search';
import { NF4 } from './kinds';

/** How a block's weights are stored. */
export interface BlockCode {
  /** A bfloat16; 1 for a block of zeros. */
  scale: number;
  /** Of 4-bit integers: the code that means 0. */
  zero: number;
  error: number;
}

/** Parts of the whole range: a scale that clips the outermost weights a little serves the others better. */
const RANGES = [1, 0.95, 0.9, 0.85, 0.8, 0.75];
/** 8 bits gain nothing by clipping, but by where the grid's points fall. */
const LARGEST_CODES = [127, 126.5, 127.5];

const codebook = new Codebook(NF4);

/** Fills `into` with the best way found to store a block in 8 bits, −127 to 127. */
export function search8bit(block: Block, into: BlockCode): void {
  const largest = largestOf(block);
  begin(into);
  if (largest === 0) return;
  for (const code of LARGEST_CODES) offer(into, block, toBfloat16(largest / code), 0, -127, 127);
}

/** The same for 4 bits with a zero point. Blocks whose weights are all of one sign have theirs at the end. */
export function search4bit(block: Block, into: BlockCode): void {
  const { weights, from, to } = block;
  let low = 0;
  let high = 0;
  for (let i = from; i < to; i++) {
    const weight = weights[i]!;
    if (weight < low) low = weight;
    if (weight > high) high = weight;
  }
  begin(into);
  if (low === high) return;
  const exact = (-low / (high - low)) * 15;
  const below = Math.floor(exact);
  for (let zero = below; zero <= Math.ceil(exact); zero++) {
    for (const range of RANGES) offer(into, block, toBfloat16((range * (high - low)) / 15), zero, -zero, 15 - zero);
  }
  const { zero } = into;
  offer(into, block, refinedScale(block, into.scale, -zero, 15 - zero), zero, -zero, 15 - zero);
}

function offer(into: BlockCode, block: Block, scale: number, zero: number, low: number, high: number): void {
  if (scale === 0) return;
  const error = integerError(block, scale, low, high);
  if (!(error < into.error)) return;
  into.error = error;
  into.scale = scale;
  into.zero = zero;
}

/** The same for the NF4 codebook. */
export function searchNf4(block: Block, into: BlockCode): void {
  const largest = largestOf(block);
  begin(into);
  if (largest === 0) return;
  for (const range of RANGES) offerTable(into, block, toBfloat16(largest * range));
  offerTable(into, block, refinedTableScale(block, into.scale, codebook));
}

function offerTable(into: BlockCode, block: Block, scale: number): void {
  if (scale === 0) return;
  const error = tableError(block, scale, codebook);
  if (!(error < into.error)) return;
  into.error = error;
  into.scale = scale;
}

export function nearestNf4(value: number): number {
  return codebook.nearest(value);
}

/** A block of zeros, or one too small for any scale: every code means 0. */
function begin(into: BlockCode): void {
  into.scale = 1;
  into.zero = 0;
  into.error = Number.POSITIVE_INFINITY;
}

function largestOf({ weights, from, to }: Block): number {
  let largest = 0;
  for (let i = from; i < to; i++) largest = Math.max(largest, Math.abs(weights[i]!));
  return largest;
}

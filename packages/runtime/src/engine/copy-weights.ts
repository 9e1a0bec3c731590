import { availableParallelism } from 'node:os';
import { setTimeout } from 'node:timers/promises';
import type { Extent, HostBuffer, Reader } from '@airllm/loader';
import type { WeightExtent } from '../plan/types';
import type { PlacedWeight } from './read-weights';

export interface CopyOptions {
  /** Asked before every piece; throws where the copy is to end. */
  readonly goesOn: () => void;
  /** Pieces at a time. @defaultValue one for every four processors */
  readonly atOnce?: number | undefined;
  /** Bytes of a piece, a multiple of 4096. @defaultValue 8 MiB */
  readonly pieceBytes?: number | undefined;
}

/** Processors that go on computing, for one that copies. */
const COMPUTING = 4;
const PIECE_BYTES = 8 * 1024 * 1024;
/** After a piece, in times of what it took. */
const PAUSE = 0.5;

/** A part of an extent, and where it goes. */
interface Piece {
  readonly extent: Extent;
  readonly at: number;
}

/**
 * Reads extents to where `readWeights` would put them, but while others compute: few pieces at a time with pauses between
 * them, where a read takes all of a reader's threads. Most of it is not the copying, but the system that clears memory.
 */
export async function copyWeights(
  reader: Reader,
  weights: readonly WeightExtent[],
  buffer: HostBuffer,
  at: number,
  options: CopyOptions,
): Promise<readonly PlacedWeight[]> {
  const { goesOn, atOnce = Math.max(1, Math.floor(availableParallelism() / COMPUTING)) } = options;
  const pieces: Piece[] = [];
  const placed: PlacedWeight[] = [];
  let place = at;
  for (const { weight, extent } of weights) {
    const ahead = extent.offset % reader.alignment;
    placed.push({ weight, buffer, offset: place + ahead });
    pieces.push(...piecesOf(extent, ahead, place, options.pieceBytes ?? PIECE_BYTES));
    place += reader.span(extent);
  }
  const copySome = async () => {
    for (let piece = pieces.shift(); piece !== undefined; piece = pieces.shift()) {
      const start = performance.now();
      try {
        goesOn();
        await reader.read(piece.extent, buffer, piece.at);
      } catch (error) {
        pieces.length = 0;
        throw error;
      }
      await setTimeout(PAUSE * (performance.now() - start), undefined, { ref: false });
    }
  };
  // All must have stopped writing before an error lets anyone reuse the place.
  const settled = await Promise.allSettled(Array.from({ length: atOnce }, copySome));
  for (const result of settled) if (result.status === 'rejected') throw result.reason;
  return placed;
}

/** Cuts where a reader that widens extents by `ahead` bytes to whole blocks finds whole blocks. */
function piecesOf({ file, offset, length }: Extent, ahead: number, place: number, pieceBytes: number): Piece[] {
  const end = offset + length;
  const pieces: Piece[] = [];
  let from = offset;
  for (let next = offset - ahead + pieceBytes; from < end; next += pieceBytes) {
    const to = Math.min(end, next);
    pieces.push({
      extent: { file, offset: from, length: to - from },
      at: place + (next - pieceBytes) - (offset - ahead),
    });
    from = to;
  }
  return pieces;
}

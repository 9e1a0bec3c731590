import type { ExecutorInfo } from '../executor';

/** `kTilePanelBytes` in native/program.h: all threads' memory for activations packed for tiles. */
const TILE_PANEL = 4 * 2 ** 20;
/** Instruction sets that multiply tiles. */
const TILED: ReadonlySet<string> = new Set(['amxbf16', 'amx-emulated']);

/** Bytes an executor takes for itself with its first pass, beside what it is given and what every process has room for. */
export function executorBytes({ isa, computeDtype }: Pick<ExecutorInfo, 'isa' | 'computeDtype'>): number {
  return computeDtype === 'bfloat16' && TILED.has(isa) ? TILE_PANEL : 0;
}

import type { ComputeDType } from '../executor';
import { instructionSets, openLibrary } from '../native/library';
import { findLibrary } from '../native/platform';

/** The instruction sets that this CPU runs, each with the compute dtypes for which it has code of its own. */
export function distinctKernels(): { isa: string; computeDtypes: readonly ComputeDType[] }[] {
  const all = instructionSets(openLibrary(findLibrary()));
  return all.map((isa) => ({
    isa,
    // In float32 avx512bf16 runs the functions of avx512 (native/cpu.cpp).
    computeDtypes: isa === 'avx512bf16' ? ['bfloat16'] : ['float32', 'bfloat16'],
  }));
}

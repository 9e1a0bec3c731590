import type { ComputeDType } from '../executor';
import { instructionSets, openLibrary } from '../native/library';
import { findLibrary } from '../native/platform';

const BFLOAT16_ONLY: readonly string[] = ['avx512bf16', 'amxbf16', 'amx-emulated'];

/**
 * The instruction sets that this CPU runs, each with the compute dtypes for which it has code of its own; and AMX, as
 * plain C++ that does what its instructions do.
 */
export function distinctKernels(): { isa: string; computeDtypes: readonly ComputeDType[] }[] {
  const all = [...instructionSets(openLibrary(findLibrary())), 'amx-emulated'];
  return all.map((isa) => ({
    isa,
    // In float32 these run the functions of avx512, and of scalar (native/cpu.cpp).
    computeDtypes: BFLOAT16_ONLY.includes(isa) ? ['bfloat16'] : ['float32', 'bfloat16'],
  }));
}

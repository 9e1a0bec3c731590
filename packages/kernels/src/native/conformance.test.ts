import { executorConformance } from '../conformance/suite';
import { distinctKernels } from '../testing/distinct-kernels';
import { NativeExecutor } from './native-executor';

// Every instruction set this CPU runs, not only the one that would be chosen.
for (const { isa, computeDtypes } of distinctKernels()) {
  const open = async (options: object) => NativeExecutor.open({ ...options, isa });
  executorConformance(`native ${isa}`, open, [], computeDtypes);
}

import { executorConformance } from '../conformance/suite';
import { instructionSets, openLibrary } from './library';
import { NativeExecutor } from './native-executor';
import { findLibrary } from './platform';

// Every instruction set this CPU runs, not only the one that would be chosen.
for (const isa of instructionSets(openLibrary(findLibrary()))) {
  executorConformance(`native ${isa}`, async (options) => NativeExecutor.open({ ...options, isa }));
}

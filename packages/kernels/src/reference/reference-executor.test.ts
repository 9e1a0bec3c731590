import { executorConformance } from '../conformance/suite';
import { ReferenceExecutor } from './reference-executor';

executorConformance('reference', async (options) => new ReferenceExecutor(options));

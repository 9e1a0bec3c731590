import { executorConformance } from '../conformance/suite';
import { OnnxExecutor } from './onnx-executor';

// onnxruntime chooses kernels by shape, so bytes may differ between passes; what it adds up in float32 the formulas add
// up in float64.
const open = ({ threads }: { threads: number }) => OnnxExecutor.open({ threads });
// float16 matrices go the way of bf16 ones.
const takes = (title: string) => !title.endsWith(', F16') || title.startsWith('linear 3 x 33');
executorConformance('onnx cpu', open, [], ['float32'], { op: 5e-6, passes: 1e-5, layer: 5e-5, threads: [2], takes });

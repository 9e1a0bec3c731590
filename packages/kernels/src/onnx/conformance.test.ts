import { executorConformance } from '../conformance/suite';
import { OnnxExecutor } from './onnx-executor';

// onnxruntime chooses kernels by shape, so bytes may differ between passes; what it adds up in float32 the formulas add
// up in float64.
const open = ({ threads }: { threads: number }) => OnnxExecutor.open({ threads });
// float16 matrices go the way of bf16 ones.
const takes = (title: string) => !title.endsWith(', F16') || title.startsWith('linear 3 x 33');
// Weights that stay lie in sessions: one case of each kind of weight, and whole layers.
const KINDS = ['linear 3 x 33', 'linear 33 x 129', 'rmsNorm', 'layerNorm', 'attention, sinks', 'experts, 2', 'a '];
const stays = (title: string) =>
  title.startsWith('AWQ, 33 x 192') || (title.endsWith(', F32') && KINDS.some((kind) => title.startsWith(kind)));
const limits = { op: 5e-6, passes: 1e-5, layer: 5e-5, threads: [2], takes, stays };
executorConformance('onnx cpu', open, [], ['float32'], limits);

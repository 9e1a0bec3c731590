export { createExecutor, type ExecutorOptions } from './create-executor';
export { ExecutorUnavailableError, GraphError, StateError, StateFullError } from './errors';
export type {
  Chain,
  ChainCall,
  ChainLink,
  ComputeDType,
  Device,
  DeviceLayerState,
  DevicePass,
  DeviceWeights,
  Executor,
  ExecutorInfo,
  ExecutorName,
  Program,
  RunCall,
  RunResult,
  UploadOptions,
  WeightBytes,
} from './executor';
export { type ExpertsOptions, GraphBuilder } from './graph/builder';
export type {
  AttentionOptions,
  EmbedOptions,
  GatedOptions,
  GraphBuilderOptions,
  LinearOptions,
  Value,
  WeightSource,
} from './graph/builder-options';
export type {
  Block,
  Graph,
  KvCacheDType,
  KvStateSpec,
  PackedWeightSpec,
  Part,
  StateSpec,
  ValueSpec,
  WeightLayout,
  WeightSpec,
} from './graph/graph';
export {
  type ActivationName,
  type ActivationOp,
  type AttentionOp,
  type BinaryOp,
  type CombineOp,
  type EmbedOp,
  type ExpertOp,
  type GatedOp,
  isSliced,
  type LayerNormOp,
  type LinearOp,
  type Op,
  type OpName,
  opInputs,
  opOutputs,
  opWeights,
  type RmsNormOp,
  type RopeOp,
  type RouteOp,
  type ScaleOp,
  type SliceOp,
  type SoftcapOp,
  type ValueId,
  type WeightId,
} from './graph/ops';
export { layoutWorkspace, type WorkspaceLayout } from './graph/workspace';
export { NativeError } from './native/errors';
export { executorBytes } from './native/executor-bytes';
export { DeviceMemoryError, OnnxError, type OnnxErrorFacts, type OnnxFailure } from './onnx/errors';
export { gpuProviders, type Provider } from './onnx/providers';
export { floats, PackedDecoder, type PackedSource } from './packed/decode';
export {
  type BlockDType,
  type BlockNumbers,
  blockCount,
  blocksPerRow,
  COMPONENTS,
  type CodeKind,
  type ComponentName,
  type ConstantPlaces,
  codeBits,
  componentsOf,
  constantPlaces,
  type PackedFormat,
} from './packed/format';
export { E2M1, E4M3, E8M0, SIGNED, UNSIGNED } from './packed/numbers';
export {
  type Components,
  componentShape,
  componentShapes,
  constantsTensor,
  PackedTensor,
  type PackedTensorFields,
} from './packed/packed-tensor';
export { ropeAngles } from './rope/angles';
export { inverseFrequencies } from './rope/frequencies';
export type { RopeScaling, RopeSpec } from './rope/spec';
export type { PassRows } from './rows';
export { BlockPool, type BlockPoolOptions, type BlockSource, type PoolBlock } from './state/block-pool';
export { createState } from './state/create-state';
export { BLOCK_POSITIONS, kvBlockBytes, kvContentBytes } from './state/kv-layout';
export { KvState } from './state/kv-state';
export type { LayerState } from './state/layer-state';

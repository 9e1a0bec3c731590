export { createExecutor, type ExecutorOptions } from './create-executor';
export { ExecutorUnavailableError, GraphError, StateError, StateFullError } from './errors';
export type {
  ComputeDType,
  Executor,
  ExecutorInfo,
  ExecutorName,
  Program,
  RunCall,
  RunResult,
  WeightBytes,
} from './executor';
export { type ExpertsOptions, GraphBuilder } from './graph/builder';
export type {
  AttentionOptions,
  EmbedOptions,
  LinearOptions,
  Value,
  WeightSource,
} from './graph/builder-options';
export type { Block, Graph, KvStateSpec, Part, StateSpec, ValueSpec, WeightLayout, WeightSpec } from './graph/graph';
export {
  type ActivationName,
  type ActivationOp,
  type AttentionOp,
  type BinaryOp,
  type CombineOp,
  type EmbedOp,
  type ExpertOp,
  type GatedOp,
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
export { ropeAngles } from './rope/angles';
export type { RopeScaling, RopeSpec } from './rope/spec';
export type { PassRows } from './rows';
export { BlockPool, type BlockPoolOptions } from './state/block-pool';
export { BLOCK_POSITIONS, kvBlockBytes } from './state/kv-layout';
export { KvState } from './state/kv-state';
export { createState, type LayerState } from './state/layer-state';

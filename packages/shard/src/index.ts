export type { ArrivingSource } from './arriving';
export { compressTensors } from './compress/choose';
export type { Compression } from './compress/kinds';
export {
  ConversionOverflowError,
  NoSpaceError,
  type ShardProblem,
  SourceChangedError,
  TargetError,
  TargetLockedError,
  VerifyError,
} from './errors';
export {
  type Manifest,
  type ManifestExtra,
  type ManifestFile,
  type ManifestTensor,
  readManifest,
  type SourceDescription,
  type SourceFile,
} from './manifest';
export type { ShardOptions, SplitOptions } from './options';
export { type FileRole, type Place, placeTensor } from './plan/place';
export type { ShardDType } from './plan/plan';
export type { ShardProgress } from './progress';
export { convertedTensor, packedOnMeta } from './sources/converted';
export { type QuantisedOnMetaOptions, quantisedOnMeta } from './sources/expected/quantised-on-meta';
export { type OpenSourceOptions, openSource } from './sources/open-source';
export { UnsafePickleError } from './sources/pickle/errors';
export {
  type OpenPickleOptions,
  openPickleCheckpoint,
  type PickleCheckpoint,
} from './sources/pickle/open-pickle-checkpoint';
export { isStridedTensor, type PickleTensor, type StridedTensor } from './sources/pickle/pickle-tensor';
export {
  type ReadStridedOptions,
  type RowRange,
  readStrided,
  type StridedRead,
  stridedReads,
} from './sources/pickle/read-strided';
export { findWeightFiles, type WeightFiles } from './sources/pickle/weight-files';
export {
  type Conversion,
  type ConversionOutput,
  isConversion,
  type ModelSource,
  type SourceKind,
  type SourceTensor,
} from './sources/source';
export { type SplitReport, splitCheckpoint } from './split';
export { TargetLock } from './target/lock';
export { type WhenUnlockedOptions, whenUnlocked } from './target/when-unlocked';
export { type VerifyOptions, type VerifyReport, verifyShards } from './verify';

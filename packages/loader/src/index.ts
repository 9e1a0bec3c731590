// For users whose lib is es2022: Symbol.dispose is in our declarations.
/// <reference lib="esnext.disposable" />
export { type AbsentFiles, AbsentFolder } from './checkpoint/absent-files';
export {
  type Checkpoint,
  type OpenCheckpointOptions,
  openCheckpoint,
} from './checkpoint/open-checkpoint';
export { type CheckpointIndex, openCheckpointIndex } from './checkpoint/open-checkpoint-index';
export { readConfig as readConfigFile } from './checkpoint/read-json';
export { readWeightIndex, type WeightIndex } from './checkpoint/weight-index';
export { crc32 } from './crc32';
export { decodeToFloat32, type ElementArray } from './decode';
export { DTYPES, type DType, dtypeBits, elementCount, isDType, tensorBytes } from './dtype';
export {
  AirllmError,
  AllocationError,
  DisposedError,
  FormatError,
  isMarked,
  LibraryError,
  MissingFileError,
  MissingTensorError,
  mark,
  OptionError,
  ReadError,
  UnsupportedCheckpointError,
  WriteError,
} from './errors';
export type { Extent } from './extent';
export { makeFolder } from './files/make-folder';
export { type OpenFile, readExactly } from './files/read-exactly';
export { syncFolder } from './files/sync-folder';
export {
  addressOf,
  type ForeignFunction,
  type ForeignLibrary,
  type ForeignType,
  foreignAvailable,
  loadLibrary,
  viewMemory,
} from './foreign';
export { HostBuffer, type HostBufferOptions, type Lease } from './host-buffer';
export { HostTensor, type HostTensorFields } from './host-tensor';
export { type MaterializeOptions, MetaTensor, type MetaTensorFields } from './meta-tensor';
export { isProcessAlive } from './process-alive';
export {
  type MappedFile,
  type Reader,
  type ReaderKind,
  type ReaderStats,
  type ReadOptions,
  readAlignment,
} from './reader';
export { openReader, type ReaderOptions } from './readers/open-reader';
export {
  type HeaderLayout,
  type LayoutOptions,
  layoutHeader,
  type PlacedTensor,
  type TensorSpec,
} from './safetensors/layout-header';
export { openSafetensors, type SafetensorsFile } from './safetensors/open-safetensors';
export { isPadding } from './safetensors/padding';
export type { HeaderTensor, SafetensorsHeader } from './safetensors/parse-header';
export { readSafetensorsHeader } from './safetensors/read-header';
export {
  SafetensorsWriter,
  type TensorBytes,
  type TensorData,
  type WriterOptions,
  writeSafetensors,
} from './safetensors/safetensors-writer';
export { ScratchFile, type ScratchFileOptions, type ScratchRun, type ScratchStats } from './scratch/scratch-file';
export { errnoName, openFailure } from './system-errors';

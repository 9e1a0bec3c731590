import type { InferenceSession, Tensor } from 'onnxruntime-node';
import type { PackedKind } from '../packed-form';
import type { Provider } from '../protocol';
import type { ElementType } from './model/model-builder';
import type { NumberReader } from './numbers';

export type Feeds = Record<string, Tensor>;

/** Memory that a provider computes in. */
export interface DeviceBuffer {
  readonly byteLength: number;
  /** Its beginning as a tensor, uncopied. */
  tensor(type: ElementType, dims: readonly number[]): Tensor;
}

/** Memory of the host that weights are made in, on their way to the provider. */
export interface StagingMemory {
  /** At least so many bytes, until the next are asked for or these have been uploaded. */
  room(byteLength: number): ArrayBuffer;
}

/** What differs between providers. Buffers are counted here, so that what is not freed is seen. */
export interface Backend {
  readonly provider: Provider;
  /** For people. */
  readonly name: string;
  /** Whether matrices can be stored in float16 and multiplied from it. */
  readonly halfFloats: boolean;
  /** Forms in which quantised matrices stay as they are. */
  readonly packs: readonly PackedKind[];
  /** Makes what is staged, and where. */
  readonly numbers: NumberReader;
  readonly staging: StagingMemory;
  /** The same for weights that are needed in one call. @defaultValue `staging` */
  readonly passing?: StagingMemory;
  readonly sessionOptions: InferenceSession.SessionOptions;
  readonly buffers: number;
  readonly bufferBytes: number;
  /** Most there ever were. */
  readonly peakBytes: number;
  /** What is in it is undefined. */
  allocate(byteLength: number): Promise<DeviceBuffer>;
  /** Memory with these bytes, which the provider may keep: nobody else has them. */
  upload(data: Uint8Array): Promise<DeviceBuffer>;
  /** The host's memory as it is, for as long as it lasts; only of a provider that computes from it. */
  borrow?(numbers: Float32Array): DeviceBuffer;
  /** Replaces the beginning of a buffer. */
  write(buffer: DeviceBuffer, data: Float32Array): Promise<void>;
  /** The first `length` floats; valid until the buffer is written again. */
  read(buffer: DeviceBuffer, length: number): Promise<Float32Array>;
  /** The floats of a tensor that is not in the host's memory. */
  readTensor(tensor: Tensor, length: number): Promise<Float32Array>;
  /** Copies the first `length` floats. */
  copy(from: DeviceBuffer, to: DeviceBuffer, length: number): Promise<void>;
  free(buffer: DeviceBuffer): void;
  close(): Promise<void>;
}

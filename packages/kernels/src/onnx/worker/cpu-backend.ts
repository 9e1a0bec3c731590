import { Tensor } from 'onnxruntime-node';
import type { PackedKind } from '../packed-form';
import type { Backend, DeviceBuffer, StagingMemory } from './backend';
import type { ElementType } from './model/model-builder';
import { openNumbers } from './native-numbers';
import { FRESH, RoomPool } from './room-pool';

class CpuBuffer implements DeviceBuffer {
  constructor(
    readonly memory: ArrayBufferLike,
    readonly byteOffset: number,
    readonly byteLength: number,
    readonly owned = true,
  ) {}

  tensor(type: ElementType, dims: readonly number[]): Tensor {
    return hostTensor(type, this.memory, this.byteOffset, dims);
  }
}

/** Memory of somebody else, to compute on. */
export function borrowed({ buffer, byteOffset, byteLength }: Float32Array): DeviceBuffer {
  return new CpuBuffer(buffer, byteOffset, byteLength, false);
}

/** A tensor over memory of this process. */
function hostTensor(type: ElementType, memory: ArrayBufferLike, offset: number, dims: readonly number[]): Tensor {
  const length = dims.reduce((product, size) => product * size, 1);
  switch (type) {
    case 'float32':
      return new Tensor(type, new Float32Array(memory, offset, length), dims);
    case 'uint8':
      return new Tensor(type, new Uint8Array(memory, offset, length), dims);
    case 'int32':
      return new Tensor(type, new Int32Array(memory, offset, length), dims);
    case 'int64':
      return new Tensor(type, new BigInt64Array(memory, offset, length), dims);
    case 'float16':
      return new Tensor(type, new Uint16Array(memory, offset, length), dims);
    default:
      throw new TypeError(`no tensors of ${type} are made here`);
  }
}

/** Of the weights that lie there. */
type Forms = Partial<Pick<Backend, 'halfFloats' | 'packs'>>;

/** The provider that every build of onnxruntime has. Its memory is this process's. */
export class CpuBackend implements Backend {
  readonly provider = 'cpu';
  readonly name = 'onnxruntime cpu';
  readonly halfFloats: boolean;
  readonly packs: readonly PackedKind[];
  readonly numbers = openNumbers();
  /** What is made there stays where it is. */
  readonly staging: StagingMemory = FRESH;
  /** For weights of one call. */
  readonly passing = new RoomPool();
  readonly sessionOptions;
  buffers = 0;
  bufferBytes = 0;
  peakBytes = 0;

  /**
   * By default its own forms: its float16 products are slower than converting, and what is converted once is kept; its
   * MatMulNBits packs what comes as an input anew in each call, at 0.13 GB/s.
   */
  constructor(threads: number, { halfFloats = false, packs = ['bnb4'] }: Forms = {}) {
    this.halfFloats = halfFloats;
    this.packs = packs;
    this.sessionOptions = {
      executionProviders: ['cpu'],
      intraOpNumThreads: threads,
      interOpNumThreads: 1,
      // Arenas keep what the largest pass took.
      enableCpuMemArena: false,
      enableMemPattern: false,
      logSeverityLevel: 3,
      // Every session has threads of its own, which must not burn the processor while another computes.
      extra: { session: { intra_op: { allow_spinning: '0' } } },
    } as const;
  }

  async allocate(byteLength: number): Promise<CpuBuffer> {
    return this.#add(new ArrayBuffer(Math.max(byteLength, 4)));
  }

  async upload(data: Uint8Array): Promise<CpuBuffer> {
    const whole = data.byteLength === data.buffer.byteLength || this.passing.has(data.buffer);
    return this.#add((whole ? data : data.slice()).buffer as ArrayBuffer, data.byteLength);
  }

  borrow(numbers: Float32Array): DeviceBuffer {
    this.buffers++;
    return borrowed(numbers);
  }

  async write(buffer: DeviceBuffer, data: Float32Array): Promise<void> {
    floatsOf(buffer, data.length).set(data);
  }

  async read(buffer: DeviceBuffer, length: number): Promise<Float32Array> {
    return floatsOf(buffer, length);
  }

  async readTensor(tensor: Tensor, length: number): Promise<Float32Array> {
    return (tensor.data as Float32Array).subarray(0, length);
  }

  async copy(from: DeviceBuffer, to: DeviceBuffer, length: number): Promise<void> {
    await this.write(to, await this.read(from, length));
  }

  free(buffer: DeviceBuffer): void {
    this.buffers--;
    const { owned, memory } = buffer as CpuBuffer;
    if (owned) this.bufferBytes -= buffer.byteLength;
    if (this.passing.has(memory)) this.passing.give(memory as ArrayBuffer);
  }

  async close(): Promise<void> {
    this.numbers.close();
  }

  #add(memory: ArrayBuffer, byteLength = memory.byteLength): CpuBuffer {
    this.buffers++;
    this.bufferBytes += byteLength;
    this.peakBytes = Math.max(this.peakBytes, this.bufferBytes);
    return new CpuBuffer(memory, 0, byteLength);
  }
}

function floatsOf(buffer: DeviceBuffer, length: number): Float32Array {
  const { memory, byteOffset } = buffer as CpuBuffer;
  return new Float32Array(memory, byteOffset, length);
}

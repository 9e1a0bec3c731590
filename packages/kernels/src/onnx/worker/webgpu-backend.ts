import { InferenceSession, Tensor } from 'onnxruntime-node';
import { STAGED_BYTES } from '../sizes';
import type { Backend, DeviceBuffer, StagingMemory } from './backend';
import { type ElementType, ModelBuilder } from './model/model-builder';
import { openNumbers } from './native-numbers';

class GpuBuffer implements DeviceBuffer {
  readonly byteLength: number;
  readonly #memory: Tensor.GpuBufferType;

  constructor(readonly owner: Tensor) {
    this.#memory = owner.gpuBuffer;
    this.byteLength = 4 * owner.size;
  }

  tensor(type: ElementType, dims: readonly number[]): Tensor {
    return Tensor.fromGpuBuffer(this.#memory, { dataType: type as 'float32', dims });
  }
}

/** Copied by the time an upload returns; fresh memory would cost many times what converting into it does. */
class ReusedMemory implements StagingMemory {
  #memory = new ArrayBuffer(0);

  room(byteLength: number): ArrayBuffer {
    if (this.#memory.byteLength < byteLength) this.#memory = new ArrayBuffer(byteLength);
    return this.#memory;
  }
}

/**
 * The GPU through onnxruntime's WebGPU provider. A buffer is allocated once, as the output of a copying session that
 * was told to leave it on the device. Every other session has no such preference, because only then what is bound as
 * its output is what it writes to.
 */
export class WebGpuBackend implements Backend {
  readonly provider = 'webgpu';
  readonly name = 'webgpu';
  readonly packs = ['nbits', 'bnb4'] as const;
  readonly numbers = openNumbers();
  readonly staging = new ReusedMemory();
  readonly sessionOptions: InferenceSession.SessionOptions;
  buffers = 0;
  bufferBytes = 0;
  peakBytes = 0;
  readonly #allocating: InferenceSession;
  readonly #filling: InferenceSession;
  readonly #copying: InferenceSession;
  /** Bytes on their way to the device. */
  #sent = 0;
  /** Something to read when the device is to be waited for. */
  #last: GpuBuffer | undefined;

  private constructor(
    readonly halfFloats: boolean,
    sessionOptions: InferenceSession.SessionOptions,
    sessions: { allocating: InferenceSession; filling: InferenceSession; copying: InferenceSession },
  ) {
    this.sessionOptions = sessionOptions;
    this.#allocating = sessions.allocating;
    this.#filling = sessions.filling;
    this.#copying = sessions.copying;
  }

  /** Rejects where there is no device. */
  static async open(): Promise<WebGpuBackend> {
    const options: InferenceSession.SessionOptions = {
      // A buffer takes what it was asked for, and what is freed goes back to the device: buffers kept for others of the
      // same size would come on top of what was granted.
      executionProviders: [{ name: 'webgpu', storageBufferCacheMode: 'lazyRelease' } as never],
      enableCpuMemArena: false,
      logSeverityLevel: 4,
    };
    const copy = copyModel();
    const leaving = { ...options, preferredOutputLocation: 'gpu-buffer' } as const;
    const allocating = await InferenceSession.create(copy, leaving);
    const filling = await InferenceSession.create(fillModel(), leaving);
    const copying = await InferenceSession.create(copy, options);
    const backend = new WebGpuBackend(await computesHalfFloats(options), options, { allocating, filling, copying });
    backend.#last = await backend.#allocate(new Float32Array(1));
    backend.buffers = 0;
    backend.bufferBytes = 0;
    backend.peakBytes = 0;
    return backend;
  }

  /** Nothing crosses the bus for it. */
  async allocate(byteLength: number): Promise<GpuBuffer> {
    const length = Math.max(1, Math.ceil(byteLength / 4));
    await this.#drain(4 * length);
    const n = new Tensor('int64', BigInt64Array.of(BigInt(length)), [1]);
    const { y } = await this.#filling.run({ x: new Tensor('float32', Float32Array.of(0), [1]), n });
    return this.#add(y!);
  }

  async upload(data: Uint8Array): Promise<GpuBuffer> {
    if (data.byteLength % 4 === 0 && data.byteOffset % 4 === 0) {
      return this.#allocate(new Float32Array(data.buffer as ArrayBuffer, data.byteOffset, data.byteLength / 4));
    }
    const whole = new Uint8Array(Math.ceil(data.byteLength / 4) * 4);
    whole.set(data);
    return this.#allocate(new Float32Array(whole.buffer));
  }

  async write(buffer: DeviceBuffer, data: Float32Array): Promise<void> {
    const dims = [data.length];
    const x = new Tensor('float32', data, dims);
    await this.#copying.run({ x }, { y: buffer.tensor('float32', dims) });
  }

  read(buffer: DeviceBuffer, length: number): Promise<Float32Array> {
    return this.readTensor(buffer.tensor('float32', [length]), length);
  }

  async readTensor(tensor: Tensor, length: number): Promise<Float32Array> {
    const { y } = await this.#copying.run({
      x: Tensor.fromGpuBuffer(tensor.gpuBuffer, { dataType: 'float32', dims: [length] }),
    });
    return y!.data as Float32Array;
  }

  async copy(from: DeviceBuffer, to: DeviceBuffer, length: number): Promise<void> {
    await this.#copying.run({ x: from.tensor('float32', [length]) }, { y: to.tensor('float32', [length]) });
  }

  free(buffer: DeviceBuffer): void {
    this.buffers--;
    this.bufferBytes -= buffer.byteLength;
    (buffer as GpuBuffer).owner.dispose();
  }

  async close(): Promise<void> {
    this.numbers.close();
    await this.#allocating.release();
    await this.#filling.release();
    await this.#copying.release();
  }

  async #allocate(data: Float32Array<ArrayBuffer>): Promise<GpuBuffer> {
    await this.#drain(data.byteLength);
    const { y } = await this.#allocating.run({ x: new Tensor('float32', data, [data.length]) });
    return this.#add(y!);
  }

  #add(owner: Tensor): GpuBuffer {
    const buffer = new GpuBuffer(owner);
    this.buffers++;
    this.bufferBytes += buffer.byteLength;
    this.peakBytes = Math.max(this.peakBytes, this.bufferBytes);
    return buffer;
  }

  /** What was sent and what was freed is held until the device is waited for, which only reading does. */
  async #drain(byteLength: number): Promise<void> {
    this.#sent += byteLength;
    if (this.#sent <= STAGED_BYTES || this.#last === undefined) return;
    await this.read(this.#last, 1);
    this.#sent = byteLength;
  }
}

function fillModel(): Uint8Array {
  const model = new ModelBuilder();
  const [x, n] = [model.input('x', 'float32', [1]), model.input('n', 'int64', [1])];
  model.output('y', model.node('Expand', [x, n]), 'float32', ['n']);
  return model.build();
}

function copyModel(): Uint8Array {
  const model = new ModelBuilder();
  model.output('y', model.input('x', 'float32', ['n']), 'float32', ['n']);
  return model.build();
}

async function computesHalfFloats(options: InferenceSession.SessionOptions): Promise<boolean> {
  const model = new ModelBuilder();
  model.output('y', model.node('Cast', [model.input('x', 'float16', ['n'])], { to: 1 }), 'float32', ['n']);
  const session = await InferenceSession.create(model.build(), options);
  try {
    await session.run({ x: new Tensor('float16', Uint16Array.of(0x3c00), [1]) });
    return true;
  } catch {
    return false;
  } finally {
    await session.release();
  }
}

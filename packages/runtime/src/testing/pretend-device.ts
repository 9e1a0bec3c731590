import {
  BlockPool,
  createExecutor,
  createState,
  type Device,
  type DeviceWeights,
  type Executor,
  type Graph,
  isSliced,
  type Part,
  type RunCall,
  type WeightBytes,
} from '@airllm/kernels';
import { HostBuffer, tensorBytes } from '@airllm/loader';
import { worstPartBytes } from '../plan/segments';
import type { DeviceGrant } from '../plan/types';

/** A device whose memory is the host's: it computes on copies, and values cross only where they are sent. */
export interface PretendDevice {
  readonly executor: Executor & { readonly device: Device };
  grant(bytes: number, blocks: DeviceGrant['blocks']): DeviceGrant;
  /** Parts uploaded so far, and uploads that were not yet given back. */
  readonly uploads: () => number;
  readonly held: () => number;
  dispose(): Promise<void>;
}

interface Held extends DeviceWeights {
  readonly weights: readonly (WeightBytes | undefined)[];
}

/**
 * A device on the reference executor; `available` bytes can be had, whatever is granted, and weights take `factor` times
 * as much as planned.
 */
export async function pretendDevice({ available = Number.POSITIVE_INFINITY, factor = 1 } = {}): Promise<PretendDevice> {
  const reference = await createExecutor({ executor: 'reference' });
  const pool = new BlockPool();
  const values = new Mirrors();
  let uploads = 0;
  let held = 0;

  const device: Device = {
    name: 'pretended',
    limitBytes: Number.POSITIVE_INFINITY,
    get usedBytes() {
      return pool.usedBytes;
    },
    async upload({ graph }, part, weights): Promise<Held> {
      uploads++;
      held++;
      const own = weights.map((weight, id) => weight && copyOf(weight, bytesOf(graph, part, id)));
      return {
        deviceBytes: factor * worstPartBytes(graph, part, 1),
        weights: own,
        dispose() {
          held--;
          for (const weight of own) weight?.buffer.dispose();
        },
      };
    },
    uploadBytes: ({ graph }, part) => worstPartBytes(graph, part, 1),
    mostUploadBytes: ({ graph }, part) => worstPartBytes(graph, part, 1),
    available: async (bytes) => Math.min(bytes, available),
    held: async () => ({ now: 0, most: 0 }),
    createState: (spec) => createState(pool, spec),
    stateBytes: () => 0,
    activationBytes: () => 0,
    transferBytes: () => ({ device: 0, host: 0 }),
    receive: (carry) => values.receive(carry),
    send: async (carry, rows) => values.send(carry, rows),
  };

  const compile = (graph: Graph) => {
    const program = reference.compile(graph);
    return {
      graph,
      workspaceBytes: (maxRows: number) => program.workspaceBytes(maxRows),
      run: (call: RunCall) =>
        program.run({
          ...call,
          carry: values.of(call.carry, call.maxRows),
          weights: 'deviceBytes' in call.weights ? (call.weights as Held).weights : call.weights,
        }),
    };
  };

  return {
    executor: { info: reference.info, compile, device, dispose: () => reference.dispose() },
    uploads: () => uploads,
    held: () => held,
    grant: (bytes, blocks) => ({
      name: device.name,
      bytes,
      blocks,
      uploadBytes: (graph, part) => worstPartBytes(graph, part, 1),
      mostUploadBytes: (graph, part) => worstPartBytes(graph, part, 1),
      stateBytes: (spec, length) => 4 * length * spec.kvHeads * (spec.keyDim + spec.valueDim),
      activationBytes: (passes) => 1000 * Math.max(...passes.map(({ maxRows }) => maxRows)),
      transferBytes: () => ({ device: 0, host: 0 }),
    }),
    async dispose() {
      values.dispose();
      pool.dispose();
      await reference.dispose();
    },
  };
}

/** The device's copies of values that blocks hand on, and of the rows they were made for. */
class Mirrors {
  readonly #own = new Map<HostBuffer, HostBuffer>();
  readonly #maxRows = new Map<HostBuffer, number>();

  of(carry: ReadonlyMap<string, HostBuffer>, maxRows: number): Map<string, HostBuffer> {
    for (const buffer of carry.values()) this.#maxRows.set(buffer, maxRows);
    return new Map([...carry].map(([name, buffer]) => [name, this.#mirror(buffer)]));
  }

  receive(carry: ReadonlyMap<string, HostBuffer>): void {
    for (const buffer of carry.values()) this.#mirror(buffer).bytes().set(buffer.bytes());
  }

  send(carry: ReadonlyMap<string, HostBuffer>, rows: number): void {
    for (const buffer of carry.values()) {
      const bytes = (buffer.byteLength / this.#maxRows.get(buffer)!) * rows;
      buffer.bytes(0, bytes).set(this.#mirror(buffer).bytes(0, bytes));
    }
  }

  dispose(): void {
    for (const buffer of this.#own.values()) buffer.dispose();
  }

  #mirror(buffer: HostBuffer): HostBuffer {
    const own = this.#own.get(buffer) ?? HostBuffer.allocate(buffer.byteLength, { label: 'device values' });
    this.#own.set(buffer, own);
    return own;
  }
}

function bytesOf(graph: Graph, { slice }: Part, id: number): number {
  const spec = graph.weights[id]!;
  const bytes = tensorBytes(spec.dtype, spec.shape);
  return slice === undefined || !isSliced(spec) ? bytes : ((slice.to - slice.from) * bytes) / spec.shape[0]!;
}

function copyOf({ buffer, offset }: WeightBytes, bytes: number): WeightBytes {
  const own = HostBuffer.allocate(bytes, { label: 'device weight' });
  own.bytes().set(buffer.bytes(offset, bytes));
  return { buffer: own, offset: 0 };
}

import {
  type Device,
  type DeviceWeights,
  type Executor,
  GraphBuilder,
  type PassRows,
  type Program,
  type WeightBytes,
} from '@airllm/kernels';
import { HostBuffer, MetaTensor } from '@airllm/loader';

export const MEASURED_DTYPES = ['BF16', 'F16', 'F32'] as const;
/** Weights that can be measured with. */
export type MeasuredDType = (typeof MEASURED_DTYPES)[number];

/** Bytes of one matrix: as large as the plan's segments. */
export const MATRIX_BYTES = 64 * 2 ** 20;
export const INPUTS = 4096;
/** Milliseconds that one measurement takes. */
export const BUDGET_MS = 600;
/** 0.0115 as float32 and bfloat16, 1.06 as float16: nothing whose arithmetic is slow. */
export const WEIGHT_BYTE = 0x3c;
/** Rows of products that show what arithmetic can do. */
export const MOST_ROWS = 256;

/** As many as show what arithmetic can do, but no more than a slow executor gets done. */
export function prefillRows(secondsOfOne: number): number {
  const affordable = BUDGET_MS / 1000 / secondsOfOne;
  return Math.max(1, Math.min(MOST_ROWS, 2 ** Math.floor(Math.log2(Math.max(1, affordable)))));
}

/** Products one after the other, from `widths[0]` inputs to the last width. */
export class Chain {
  readonly #program: Program;
  readonly #workspace: HostBuffer;
  readonly #carry: ReadonlyMap<string, HostBuffer>;
  readonly #maxRows: number;

  constructor(executor: Executor, dtype: MeasuredDType, options: { widths: readonly number[]; maxRows: number }) {
    const { widths, maxRows } = options;
    const b = new GraphBuilder((name, shape) => new MetaTensor({ name, dtype, shape }));
    let value = b.input('hidden', widths[0]!);
    widths.slice(1).forEach((width, i) => {
      value = b.linear(value, `linear${i}`, width);
    });
    b.output('result', value);
    this.#program = executor.compile(b.build('measured').graph);
    this.#maxRows = maxRows;
    this.#workspace = HostBuffer.allocate(Math.max(64, this.#program.workspaceBytes(maxRows)));
    const floats = (width: number) => HostBuffer.allocate(4 * maxRows * width);
    this.#carry = new Map([
      ['hidden', floats(widths[0]!)],
      ['result', floats(widths.at(-1)!)],
    ]);
    this.#carry
      .get('hidden')!
      .float32(0, maxRows * widths[0]!)
      .fill(0.5);
  }

  /** Runs the first `ops` products (all of them, by default), each with the weights that start at `offset`. */
  run(count: number, buffer: HostBuffer, offset: number, ops = this.#program.graph.ops.length): Promise<void> {
    return this.#run(count, this.#weights(buffer, offset), ops);
  }

  /** Brings the weights that start at `offset` to a device, for all products. */
  upload(device: Device, buffer: HostBuffer, offset: number): Promise<DeviceWeights> {
    const part = { from: 0, to: this.#program.graph.ops.length };
    return device.upload(this.#program, part, this.#weights(buffer, offset), { stays: true });
  }

  /** Runs all products with weights on a device, until their result is back. */
  async runOn(device: Device, count: number, weights: DeviceWeights): Promise<void> {
    device.receive(this.#carry);
    await this.#run(count, weights, this.#program.graph.ops.length);
    await device.send(this.#carry, count);
  }

  #weights(buffer: HostBuffer, offset: number): WeightBytes[] {
    return this.#program.graph.weights.map(() => ({ buffer, offset }));
  }

  async #run(count: number, weights: WeightBytes[] | DeviceWeights, ops: number): Promise<void> {
    await this.#program.run({
      part: { from: 0, to: ops },
      rows: rowsOf(count),
      weights,
      states: [],
      carry: this.#carry,
      workspace: this.#workspace,
      maxRows: this.#maxRows,
    });
  }

  [Symbol.dispose](): void {
    this.#workspace.dispose();
    for (const buffer of this.#carry.values()) buffer.dispose();
  }
}

function rowsOf(count: number): PassRows {
  return {
    count,
    sequence: new Int32Array(count),
    position: Int32Array.from({ length: count }, (_, i) => i),
    visibleFrom: new Int32Array(count),
    ropeLength: new Int32Array(count).fill(count),
  };
}

import { availableParallelism } from 'node:os';
import { BlockPool, createExecutor, createState, type Executor, type KvCacheDType, type Part } from '@airllm/kernels';
import { HostBuffer, MetaTensor } from '@airllm/loader';
import { buildModel } from '@airllm/runtime';
import { count, numbers, readOptions, UsageError } from './arguments';
import { machine } from './machine';
import { SHAPE_NAMES, shapeConfig } from './shapes';
import { bytes, head, percent, rate, row } from './units';

export const usage = `bench attention [--shape ${SHAPE_NAMES.join('|')}] [--context 512,4096] [--rows 1,512]
                [--kv-cache-dtype float32,bfloat16,int8] [--threads N] [--rounds 20]`;

const DTYPES: readonly KvCacheDType[] = ['float32', 'bfloat16', 'int8'];

interface Measured {
  readonly attentionMs: number;
  readonly restMs: number;
}

/**
 * Milliseconds of attention and of everything else in one layer with bf16 weights, at so many positions of context. The
 * layer runs as in a pass, so that its weights push keys and values out of the caches; the best of the rounds counts.
 */
export async function run(args: string[]): Promise<void> {
  const values = readOptions(args, {
    shape: 'llama-8b',
    context: '512,4096',
    rows: '1,512',
    'kv-cache-dtype': DTYPES.join(','),
    threads: String(availableParallelism()),
    rounds: '20',
  });
  const config = shapeConfig(values.shape);
  const dtypes = values['kv-cache-dtype'].split(',') as KvCacheDType[];
  if (!dtypes.every((dtype) => DTYPES.includes(dtype))) throw new UsageError(usage);
  const executor = await createExecutor({ executor: 'native', threads: count(values.threads, 'threads') });
  console.log(`${await machine('.')}; ${executor.info.isa}, ${executor.info.threads} threads; ${values.shape}\n`);
  console.log(
    head(['keys and values', 'context', 'rows', 'state', 'attention ms', 'state read', 'rest ms', 'attention']),
  );
  for (const rows of numbers(values.rows, 'rows')) {
    for (const context of numbers(values.context, 'context').filter((length) => length >= rows)) {
      for (const dtype of dtypes) {
        await using layer = new Layer(executor, config, dtype, { context, rows });
        const { attentionMs, restMs } = await layer.best(count(values.rounds, 'rounds'));
        const cells = [dtype, String(context), String(rows), bytes(layer.stateBytes), attentionMs.toFixed(2)];
        const read = rate((layer.stateBytes / attentionMs) * 1000);
        console.log(row([...cells, read, restMs.toFixed(2), percent(attentionMs / (attentionMs + restMs), 1)]));
      }
    }
  }
  await executor.dispose();
}

/** One layer of a model with made-up weights and a state that is full. */
class Layer {
  readonly stateBytes: number;
  readonly #run: (part: Part) => Promise<unknown>;
  readonly #parts: { readonly before: Part; readonly attention: Part; readonly after: Part };
  readonly #owned: { dispose(): void }[] = [];

  constructor(
    executor: Executor,
    config: Record<string, unknown>,
    kvCacheDtype: KvCacheDType,
    size: { readonly context: number; readonly rows: number },
  ) {
    const { graph, weights } = buildModel(config, { dtype: 'BF16' }, { kvCacheDtype }).layers[0]!;
    const allocate = (byteLength: number) => {
      const buffer = HostBuffer.allocate(byteLength);
      this.#owned.push(buffer);
      return buffer;
    };
    const tensors = weights.filter((tensor) => MetaTensor.isInstance(tensor));
    const filled = tensors.map(({ byteLength }) => {
      const buffer = allocate(byteLength);
      // 0.0115 in bf16: nothing whose arithmetic is slow.
      buffer.bytes().fill(0x3c);
      return { buffer, offset: 0 };
    });
    const { context, rows } = size;
    const pool = new BlockPool();
    this.#owned.push(pool);
    const state = createState(pool, graph.states[0]!);
    state.reserve(context);
    this.stateBytes = state.byteLength;
    const { kvHeads, keyDim, valueDim } = state.spec;
    const vector = (width: number) => Float32Array.from({ length: width }, (_, i) => Math.sin(i));
    const [key, value] = [vector(kvHeads * keyDim), vector(kvHeads * valueDim)];
    for (let position = 0; position < context; position++) state.write(position, key, value);
    const program = executor.compile(graph);
    const workspace = allocate(program.workspaceBytes(rows));
    const carry = new Map(
      [...graph.inputs, ...graph.outputs].map(([name, id]) => [name, allocate(4 * rows * graph.values[id]!.width)]),
    );
    for (const buffer of carry.values()) buffer.float32(0, buffer.byteLength / 4).fill(0.5);
    const passRows = {
      count: rows,
      sequence: new Int32Array(rows),
      position: Int32Array.from({ length: rows }, (_, i) => context - rows + i),
      visibleFrom: new Int32Array(rows),
      ropeLength: new Int32Array(rows).fill(context),
    };
    const call = { rows: passRows, weights: filled, states: [[state]], carry, workspace, maxRows: rows };
    this.#run = (part) => program.run({ ...call, part });
    const at = graph.ops.findIndex(({ op }) => op === 'attention');
    this.#parts = {
      before: { from: 0, to: at },
      attention: { from: at, to: at + 1 },
      after: { from: at + 1, to: graph.ops.length },
    };
  }

  async best(rounds: number): Promise<Measured> {
    const best = { before: Infinity, attention: Infinity, after: Infinity };
    for (let round = 0; round < rounds; round++) {
      for (const name of ['before', 'attention', 'after'] as const) {
        const start = performance.now();
        await this.#run(this.#parts[name]);
        best[name] = Math.min(best[name], performance.now() - start);
      }
    }
    return { attentionMs: best.attention, restMs: best.before + best.after };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const owned of this.#owned) owned.dispose();
  }
}

import type { Executor, PassRows, RunCall } from '@airllm/kernels';
import { HostBuffer } from '@airllm/loader';
import { buildModel } from '../models/registry';
import { BUDGET_MS, type MeasuredDType, WEIGHT_BYTE } from './chain';
import { meanSeconds } from './mean-seconds';

/** A layer as small models have them: 11 million weights. */
const CONFIG = {
  model_type: 'llama',
  hidden_size: 1024,
  num_attention_heads: 8,
  num_key_value_heads: 2,
  intermediate_size: 2816,
  num_hidden_layers: 1,
  vocab_size: 64,
};
/** Layers of a step, the same one again and again: values go there and back once. */
const LAYERS = 8;
/** Position of the step's row. */
const POSITION = 255;

/**
 * Seconds that a layer of a decode step takes on an executor's device, with weights that stay there. Throws what
 * uploading throws, and the signal's reason.
 */
export async function measureLayer(
  executor: Executor,
  { dtype, signal }: { readonly dtype: MeasuredDType; readonly signal?: AbortSignal | undefined },
): Promise<number> {
  const device = executor.device!;
  const { graph, weights } = buildModel(CONFIG, { dtype }).layers[0]!;
  const program = executor.compile(graph);
  const part = { from: 0, to: graph.ops.length };
  using buffer = HostBuffer.allocate(Math.max(...weights.map(({ byteLength }) => byteLength)), { label: 'a layer' });
  buffer.bytes().fill(WEIGHT_BYTE);
  using hidden = HostBuffer.allocate(4 * CONFIG.hidden_size);
  hidden.float32(0, CONFIG.hidden_size).fill(0.5);
  using workspace = HostBuffer.allocate(Math.max(64, program.workspaceBytes(1)));
  const given = weights.map(() => ({ buffer, offset: 0 }));
  const uploaded = await device.upload(program, part, given, { stays: true });
  const states = graph.states.map((spec) => device.createState(spec, POSITION + 1));
  const carry = new Map([...graph.inputs.keys()].map((name) => [name, hidden]));
  const call: RunCall = {
    part,
    rows: rowAt(POSITION),
    weights: uploaded,
    states: states.map((state) => [state]),
    carry,
    workspace,
    maxRows: 1,
  };
  try {
    for (const state of states) state.reserve(POSITION + 1);
    const step = async () => {
      device.receive(carry);
      for (let layer = 0; layer < LAYERS; layer++) await program.run(call);
      await device.send(carry, 1);
    };
    return (await meanSeconds(step, BUDGET_MS, signal)) / LAYERS;
  } finally {
    for (const state of states) state.dispose();
    uploaded.dispose();
  }
}

function rowAt(position: number): PassRows {
  const one = (value: number) => Int32Array.of(value);
  return { count: 1, sequence: one(0), position: one(position), visibleFrom: one(0), ropeLength: one(position + 1) };
}

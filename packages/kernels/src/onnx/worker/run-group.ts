import { Tensor } from 'onnxruntime-node';
import { GraphError } from '../../errors';
import { opWeights } from '../../graph/ops';
import { remember } from '../../remember';
import { ropeAngles } from '../../rope/angles';
import type { PassRows } from '../../rows';
import type { Feeds } from './backend';
import type { Frame } from './frame';
import { groupModel, type Input, neededAfter } from './lower/group';
import { weightTensor } from './weight-tensor';
import { signature } from './weights';

/** Runs ops `[from, to)`, which look at nothing but their rows, as one session. */
export async function runGroup(frame: Frame, from: number, to: number): Promise<void> {
  const { scope, weights } = frame;
  const { graph } = scope;
  const ops = graph.ops.slice(from, to);
  const needed = neededAfter(graph, from, to);
  if (needed.length === 0) return;
  const pinned = frame.pinned?.session(from);
  const ids = ops.flatMap((op) => opWeights(op, graph));
  const key = `${frame.key} ${from}-${to} ${signature(weights, ids)}`;
  const make = () => groupModel(graph, ops, needed, weights);
  const { inputs, outputs } = pinned ?? (await frame.sessions.open(key, make));
  const fetches: Feeds = {};
  for (const [name, id] of outputs) {
    await scope.make(id);
    fetches[name] = scope.tensor(id, frame.count);
  }
  const feeds = await feedsOf(frame, inputs);
  await (pinned?.run(feeds, fetches, frame.count) ?? frame.sessions.run(key, feeds, fetches));
}

/** Tensors for what a session is fed with. */
export async function feedsOf(frame: Frame, inputs: ReadonlyMap<string, Input>, before?: Tensor): Promise<Feeds> {
  const feeds: Feeds = {};
  for (const [name, input] of inputs) feeds[name] = await feedOf(frame, input, before);
  return feeds;
}

async function feedOf(frame: Frame, input: Input, before: Tensor | undefined): Promise<Tensor> {
  const { weights, count, rows, scope } = frame;
  switch (input.kind) {
    case 'value':
      return frame.value(input.id);
    case 'matrix':
    case 'packed':
    case 'order':
    case 'vector':
      return weightTensor(weights, input);
    case 'gathered': {
      const { columns } = weights.get(input.id)!;
      return weights.get(input.id)!.pieces[0]!.buffer.tensor('float32', [count, columns]);
    }
    case 'rope':
      return tables(frame, input.index)[input.table];
    case 'rowNumbers':
      return rowNumbers(rows);
    case 'before':
      if (before === undefined) throw new GraphError('linear', 'slices of in,out must be run in order, from row 0');
      return before;
    default:
      throw new GraphError('session', `${scope.graph.key} has no input ${JSON.stringify(input satisfies never)}`);
  }
}

interface Tables {
  readonly cos: Tensor;
  readonly sin: Tensor;
}

const remembered = new WeakMap<PassRows, Map<string, Tables>>();
const numbers = new WeakMap<PassRows, Tensor>();

/** The cosines and sines of the pass's angles, made once for all layers. */
function tables({ scope, rows }: Frame, index: number): Tables {
  const spec = scope.graph.ropes[index]!;
  const known = remember(remembered, rows, () => new Map<string, Tables>());
  return remember(known, JSON.stringify(spec), () => {
    const angles = ropeAngles(spec, rows);
    const half = spec.dim / 2;
    const cos = new Float32Array(rows.count * half);
    const sin = new Float32Array(rows.count * half);
    for (let r = 0; r < rows.count; r++) {
      const at = r * spec.dim;
      cos.set(angles.subarray(at, at + half), r * half);
      sin.set(angles.subarray(at + half, at + spec.dim), r * half);
    }
    const dims = [rows.count, half];
    return { cos: new Tensor('float32', cos, dims), sin: new Tensor('float32', sin, dims) };
  });
}

function rowNumbers(rows: PassRows): Tensor {
  return remember(numbers, rows, () => {
    const ids = BigInt64Array.from({ length: rows.count }, (_, r) => BigInt(r));
    return new Tensor('int64', ids, [1, rows.count]);
  });
}

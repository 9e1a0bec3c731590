import { Tensor } from 'onnxruntime-node';
import type { Part } from '../../graph/graph';
import type { ExpertOp, RouteOp } from '../../graph/ops';
import { completesPart } from '../../graph/part';
import { route } from '../../reference/experts';
import { PartialSums } from '../../reference/frame';
import { type Frame, floatsOf } from './frame';
import { gatherModel, scatterModel } from './lower/pick';
import type { Scope } from './scope';

/** Chooses experts in JavaScript: the host wants to know them, and ties must be decided as everywhere. */
export async function runRoute(frame: Frame, op: RouteOp): Promise<Int32Array> {
  const { scope, count, rows, backend } = frame;
  const length = count * op.topK;
  const ids = new Int32Array(length);
  const weights = new Float32Array(length);
  const logits = await floatsOf(frame, op.logits);
  const values = new Map([
    [op.logits, logits],
    [op.ids, new Float32Array(ids.buffer)],
    [op.weights, weights],
  ]);
  route(
    {
      graph: scope.graph,
      count,
      rows,
      states: [],
      value: (id) => values.get(id)!,
      weight: () => undefined,
      partialSums: new PartialSums(),
      computeDtype: 'float32',
    },
    op,
  );
  scope.ids.set(op.ids, ids);
  await backend.write(await scope.make(op.weights), weights);
  return ids;
}

/** Runs one expert, or a part of it, on the rows that chose it. */
export async function runExpert(
  frame: Frame,
  index: number,
  { id, part }: NonNullable<Part['expert']>,
  runPart: (frame: Frame, part: Part) => Promise<unknown>,
): Promise<void> {
  const { scope } = frame;
  const op = scope.graph.ops[index] as ExpertOp;
  const { graph } = op;
  const key = `${index} ${id}`;
  const inner = part ?? { from: 0, to: graph.ops.length };
  let running = scope.experts.get(key);
  if (running === undefined) {
    const ids = scope.ids.get(op.ids)!;
    const places = Int32Array.from(Array.from(ids.keys()).filter((place) => ids[place] === id));
    running = { scope: scope.child(graph), places };
    scope.experts.set(key, running);
    if (places.length > 0) await gather(frame, op, running.scope, places);
  }
  const { places, scope: own } = running;
  if (places.length > 0) {
    const inside: Frame = {
      ...frame,
      key: `${frame.key} expert ${index}`,
      scope: own,
      count: places.length,
      value: async (value) => own.tensor(value, places.length),
    };
    await runPart(inside, inner);
  }
  if (inner.to < graph.ops.length || !completesPart(graph, inner)) return;
  if (places.length > 0) await scatter(frame, op, own, places);
  own.clear();
  scope.experts.delete(key);
}

async function gather(frame: Frame, op: ExpertOp, own: Scope, places: Int32Array): Promise<void> {
  const width = frame.scope.graph.values[op.x]!.width;
  const key = `gather ${width}`;
  await frame.sessions.open(key, () => ({ bytes: gatherModel(width) }));
  const rows = BigInt64Array.from(places, (place) => BigInt(Math.floor(place / op.topK)));
  const x = op.graph.inputs.get('x')!;
  await own.make(x);
  const at = new Tensor('int64', rows, [rows.length]);
  await frame.sessions.run(key, { x: await frame.value(op.x), at }, { y: own.tensor(x, places.length) });
}

async function scatter(frame: Frame, op: ExpertOp, own: Scope, places: Int32Array): Promise<void> {
  const y = op.graph.outputs.get('y')!;
  const { width } = op.graph.values[y]!;
  const key = `scatter ${width}`;
  await frame.sessions.open(key, () => ({ bytes: scatterModel(width) }));
  const slots = await frame.scope.make(op.slots);
  const all = slots.tensor('float32', [frame.count * op.topK, width]);
  const at = new Tensor('int64', BigInt64Array.from(places, BigInt), [places.length, 1]);
  await frame.sessions.run(key, { old: all, at, x: own.tensor(y, places.length) }, { y: all });
}

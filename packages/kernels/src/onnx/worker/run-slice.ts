import type { Part } from '../../graph/graph';
import type { LinearOp } from '../../graph/ops';
import { sliceExtent } from '../../graph/part';
import type { Feeds } from './backend';
import type { Frame } from './frame';
import { sliceModel } from './lower/group';
import { joinModel } from './lower/pick';
import { feedsOf } from './run-group';
import { vectorTensor } from './weight-tensor';
import { signature } from './weights';

/**
 * Runs a slice of a linear. Columns of a result that a slice of `out,in` makes wait for those of the others; a slice of
 * `in,out` adds to the sums of those before it. The last slice makes the value.
 */
export async function runSlice(frame: Frame, index: number, slice: NonNullable<Part['slice']>): Promise<void> {
  const { scope } = frame;
  const { graph } = scope;
  const op = graph.ops[index] as LinearOp;
  const adds = graph.weights[op.weight]!.layout === 'in,out';
  if (slice.from === 0) dropSlices(frame);
  const columns = adds ? graph.values[op.out]!.width : slice.to - slice.from;
  const before = adds && slice.from > 0 ? scope.slices[0] : undefined;
  const buffer = await scope.take(columns);
  const range = adds ? `${slice.from}-${slice.to}` : 'any';
  const key = `${frame.key} ${index} slice ${range} ${signature(frame.weights, [op.weight])}`;
  const pinned = frame.pinned?.session(index);
  const { inputs } = pinned ?? (await frame.sessions.open(key, () => sliceModel(graph, op, slice, frame.weights)));
  const feeds = await feedsOf(frame, inputs, before?.buffer.tensor('float32', [frame.count, columns]));
  const fetches = { y: buffer.tensor('float32', [frame.count, columns]) };
  await (pinned?.run(feeds, fetches, frame.count) ?? frame.sessions.run(key, feeds, fetches));
  if (adds) dropSlices(frame);
  scope.slices.push({ buffer, columns });
  if (slice.to === sliceExtent(graph, op)) await join(frame, op);
}

async function join(frame: Frame, op: LinearOp): Promise<void> {
  const { scope, count, weights } = frame;
  const widths = scope.slices.map(({ columns }) => columns);
  const key = `join ${widths.join('+')} ${op.bias !== undefined}`;
  await frame.sessions.open(key, () => ({ bytes: joinModel(widths, op.bias !== undefined) }));
  const feeds: Feeds = op.bias === undefined ? {} : { bias: vectorTensor(weights, op.bias) };
  scope.slices.forEach(({ buffer, columns }, i) => {
    feeds[`x${i}`] = buffer.tensor('float32', [count, columns]);
  });
  await scope.make(op.out);
  await frame.sessions.run(key, feeds, { y: scope.tensor(op.out, count) });
  dropSlices(frame);
}

function dropSlices({ scope }: Frame): void {
  for (const { buffer } of scope.slices) scope.give(buffer);
  scope.slices = [];
}

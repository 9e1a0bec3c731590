import type { Part } from '../../graph/graph';
import { isRowwise } from '../pinned-size';
import type { Frame } from './frame';
import { runAttention } from './run-attention';
import { runExpert, runRoute } from './run-experts';
import { runGroup } from './run-group';
import { runSlice } from './run-slice';

/** Runs a part: sessions of ops that look at one row alone, and between them what looks at more. The experts chosen. */
export async function runPart(frame: Frame, part: Part): Promise<Int32Array | undefined> {
  const { ops } = frame.scope.graph;
  let routes: Int32Array | undefined;
  let from = part.from;
  while (from < part.to) {
    frame.scope.retire(from);
    const op = ops[from]!;
    let to = from + 1;
    if (part.slice !== undefined) await runSlice(frame, from, part.slice);
    else if (op.op === 'attention') await runAttention(frame, op);
    else if (op.op === 'route') routes = await runRoute(frame, op);
    else if (op.op === 'expert') await runExpert(frame, from, part.expert!, runPart);
    else {
      while (to < part.to && isRowwise(ops[to]!)) to++;
      await runGroup(frame, from, to);
    }
    from = to;
  }
  return routes;
}

import type { Tensor } from 'onnxruntime-node';
import type { ValueId } from '../../graph/ops';
import type { PassRows } from '../../rows';
import type { Backend } from './backend';
import type { WorkerState } from './device-state';
import type { HostState } from './host-state';
import type { PinnedPart } from './pinned-part';
import type { Scope } from './scope';
import type { Sessions } from './sessions';
import type { StagedWeights } from './weights';

/** What running ops of one graph works with: a block's, or an expert's on its rows. */
export interface Frame {
  readonly backend: Backend;
  readonly sessions: Sessions;
  /** Names the program and the graph in it, for the keys of sessions. */
  readonly key: string;
  readonly scope: Scope;
  /** Rows that are computed. */
  readonly count: number;
  /** The pass's rows; only a block's own ops look at them. */
  readonly rows: PassRows;
  readonly weights: StagedWeights;
  /** Sessions that hold weights of the part themselves. */
  readonly pinned?: PinnedPart | undefined;
  /** A state of the graph, of one of the pass's sequences. */
  readonly state: (index: number, sequence: number) => HostState | WorkerState;
  /** A value that has been computed or carried here, `[count, width]`. */
  value(id: ValueId): Promise<Tensor>;
}

/** The value's numbers, for ops that JavaScript computes. */
export async function floatsOf(frame: Frame, id: ValueId): Promise<Float32Array> {
  const { scope, backend, count } = frame;
  const length = count * scope.graph.values[id]!.width;
  if (scope.has(id)) return backend.read(scope.buffer(id), length);
  const tensor = await frame.value(id);
  return tensor.location === 'cpu' ? (tensor.data as Float32Array) : backend.readTensor(tensor, length);
}

import { InferenceSession, Tensor } from 'onnxruntime-node';
import type { ValueId } from '../../graph/ops';
import { PINNED_ROWS } from '../pinned-size';
import type { Feeds } from './backend';
import type { GroupModel, Input, WeightInput } from './lower/group';
import { withInitialisers } from './model/initialisers';
import type { Pinning } from './pinning';
import { weightTensor } from './weight-tensor';
import type { StagedWeights } from './weights';

/** A model whose weights are its own: made once, run in every pass with nothing but values. */
export class PinnedSession {
  /** What it is fed with. */
  readonly inputs: ReadonlyMap<string, Input>;
  readonly outputs: ReadonlyMap<string, ValueId>;
  readonly #session: InferenceSession;

  private constructor(session: InferenceSession, { outputs }: GroupModel, inputs: [string, Input][]) {
    this.#session = session;
    this.outputs = outputs;
    this.inputs = new Map(inputs);
  }

  /** The weights' memory is free again once it resolves: the session has its own copies. */
  static async create(pinning: Pinning, model: GroupModel, weights: StagedWeights): Promise<PinnedSession> {
    const constants = new Map<string, Tensor>();
    const inputs: [string, Input][] = [];
    for (const [name, input] of model.inputs) {
      if (isWeight(input)) constants.set(name, weightTensor(weights, input));
      else inputs.push([name, input]);
    }
    const { bytes, externalData } = withInitialisers(model.bytes, constants);
    const session = await InferenceSession.create(bytes, { ...pinning.sessionOptions, externalData });
    return new PinnedSession(session, model, inputs);
  }

  /** Runs `count` rows, some at a time: memory for what a provider once computed stays its own. */
  async run(feeds: Feeds, fetches: Feeds, count: number): Promise<void> {
    for (let from = 0; from < count; from += PINNED_ROWS) {
      const some = { from, to: Math.min(count, from + PINNED_ROWS), count };
      await this.#session.run(rowsOf(feeds, some), rowsOf(fetches, some));
    }
  }

  release(): Promise<void> {
    return this.#session.release();
  }
}

function isWeight(input: Input): input is WeightInput {
  return input.kind === 'matrix' || input.kind === 'packed' || input.kind === 'order' || input.kind === 'vector';
}

interface Rows {
  readonly from: number;
  readonly to: number;
  /** Of the whole pass. */
  readonly count: number;
}

/** The same rows of tensors `[count, width]`; of row numbers `[1, count]` the first, since tables are cut alike. */
function rowsOf(tensors: Feeds, { from, to, count }: Rows): Feeds {
  if (to - from === count) return tensors;
  return Object.fromEntries(
    Object.entries(tensors).map(([name, { type, dims, data }]) => {
      const [rows, width] = dims as readonly [number, number];
      const [at, dim] = rows === count ? [from * width, [to - from, width]] : [0, [1, to - from]];
      const length = dim[0]! * dim[1]!;
      return [name, new Tensor(type as 'float32', (data as Float32Array).subarray(at, at + length), dim)];
    }),
  );
}

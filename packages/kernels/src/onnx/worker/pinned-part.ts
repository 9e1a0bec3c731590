import type { Graph, Part } from '../../graph/graph';
import type { LinearOp, WeightId } from '../../graph/ops';
import { sessionRanges } from '../pinned-size';
import type { MemoryRef } from '../protocol';
import { groupModel, neededAfter, sliceModel } from './lower/group';
import { PinnedSession } from './pinned-session';
import type { Pinning } from './pinning';
import { freeStaged, stageWeights } from './staging';
import { type StagedWeight, type StagedWeights, stagedBytes } from './weights';

/** A part whose weights lie in sessions. */
export class PinnedPart {
  /** What ops that are in no such session take: vectors, in the host's memory. */
  readonly weights: StagedWeights;
  readonly #sessions: ReadonlyMap<number, PinnedSession>;

  private constructor(weights: StagedWeights, sessions: ReadonlyMap<number, PinnedSession>) {
    this.weights = weights;
    this.#sessions = sessions;
  }

  static async create(
    pinning: Pinning,
    graph: Graph,
    part: Part,
    staged: ReadonlyMap<WeightId, StagedWeight>,
  ): Promise<PinnedPart> {
    const sessions = new Map<number, PinnedSession>();
    const made = new PinnedPart(
      new Map([...staged].filter(([id]) => graph.weights[id]!.layout === 'vector')),
      sessions,
    );
    try {
      for (const { from, to } of sessionRanges(graph, part)) {
        const needed = neededAfter(graph, from, to);
        if (needed.length === 0) continue;
        const model =
          part.slice === undefined
            ? groupModel(graph, graph.ops.slice(from, to), needed, staged)
            : sliceModel(graph, graph.ops[from] as LinearOp, part.slice, staged);
        sessions.set(from, await PinnedSession.create(pinning, model, staged));
      }
      return made;
    } catch (error) {
      await made.release();
      throw error;
    }
  }

  get sessions(): number {
    return this.#sessions.size;
  }

  /** Of the ops from this one on. */
  session(from: number): PinnedSession | undefined {
    return this.#sessions.get(from);
  }

  async release(): Promise<void> {
    for (const session of this.#sessions.values()) await session.release();
  }
}

/** Brings the weights of a part into sessions; `bytes` is what they take there. */
export async function pinPart(
  pinning: Pinning,
  graph: Graph,
  part: Part,
  given: readonly (MemoryRef | undefined)[],
): Promise<{ readonly pinned: PinnedPart; readonly bytes: number }> {
  const { staging } = pinning;
  const staged = await stageWeights(staging, graph, part, given);
  try {
    return { pinned: await PinnedPart.create(pinning, graph, part, staged), bytes: stagedBytes(staged) };
  } finally {
    // The vectors it keeps are the garbage collector's from here.
    freeStaged(staging, staged.values());
  }
}

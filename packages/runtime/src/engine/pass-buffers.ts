import type { Block, Program } from '@airllm/kernels';
import { HostBuffer, type Reader } from '@airllm/loader';
import type { Model } from '../models/model';
import type { Constants } from './constants';
import { EmbeddingRows } from './embedding';

export interface PassBuffersOptions {
  readonly model: Model;
  readonly reader: Reader;
  readonly constants: Constants;
  /** Those that run on all rows of a pass. */
  readonly programs: readonly Program[];
  /** Bytes of workspace that are needed whatever the rows. */
  readonly leastWorkspace: number;
  readonly maxRows: number;
}

/** Memory of a pass of up to `maxRows` rows: workspace, values carried between blocks, embedding rows. */
export class PassBuffers {
  readonly maxRows: number;
  readonly workspace: HostBuffer;
  readonly carry: ReadonlyMap<string, HostBuffer>;
  readonly embeddingRows: EmbeddingRows;

  constructor({ model, reader, constants, programs, leastWorkspace, maxRows }: PassBuffersOptions) {
    this.maxRows = maxRows;
    const workspace = Math.max(leastWorkspace, ...programs.map((program) => program.workspaceBytes(maxRows)));
    this.workspace = HostBuffer.allocate(workspace, { label: 'workspace' });
    this.carry = carryBuffers([model.embedding, ...model.layers], maxRows);
    this.embeddingRows = new EmbeddingRows(model, reader, constants, maxRows);
  }

  dispose(): void {
    this.workspace.dispose();
    for (const buffer of this.carry.values()) buffer.dispose();
    this.embeddingRows.dispose();
  }
}

/** One buffer per name that blocks hand on to each other. */
export function carryBuffers(blocks: readonly Block[], maxRows: number): ReadonlyMap<string, HostBuffer> {
  const widths = new Map<string, number>();
  for (const { graph } of blocks) {
    for (const [name, value] of [...graph.inputs, ...graph.outputs]) widths.set(name, graph.values[value]!.width);
  }
  return new Map(
    [...widths].map(([name, width]) => [name, HostBuffer.allocate(4 * maxRows * width, { label: `carried ${name}` })]),
  );
}

import { type Block, type Graph, layoutWorkspace, opWeights } from '@airllm/kernels';
import { placeLiterals } from '../models/literals';
import type { Model } from '../models/model';
import { worstSpan } from './segments';

/** Rows of a pass whose logits are computed together: with a vocabulary of 256k, 16 rows are 16 MiB. */
export const DEFAULT_LOGIT_ROWS = 16;
/** Bytes of logits one pass may give: of more rows than the head computes together, some are kept until all are there. */
const MOST_LOGIT_BYTES = 32 * 1024 * 1024;
/** Embedding rows kept from passes before, per row that a pass may have. */
export const KEPT_ROWS = 2;
/** Embedding rows read at once; the engine stages each in a span of its own. */
const STAGED_ROWS = 64;

/**
 * Buffers are whole pages: of the engine's (workspace, three or so carried, two of the embedding, constants,
 * pinned, ring, slots).
 */
const PAGE_BYTES = 4096;
const BUFFERS = 11;
/** Of each part of the head's rows: hidden values, logits, workspace. */
const HEAD_BUFFERS = 3;

/** Rows of one pass whose logits may be wanted, where `together` are computed together. */
export function mostLogitRows(together: number, vocabSize: number): number {
  return Math.max(together, Math.floor(MOST_LOGIT_BYTES / (4 * vocabSize)));
}

/**
 * Bytes of the logits of a pass of so many rows: a copy for whoever samples, and what the head computes on for those rows
 * beyond the `together` that always have room.
 */
export function logitBytes({ config, head }: Model, together: number): (maxRows: number) => number {
  const columns = carryColumns([head]) + workspaceColumns([head]);
  return (maxRows) => {
    const first = Math.min(maxRows, together);
    const rows = Math.min(maxRows, mostLogitRows(together, config.vocabSize));
    const parts = Math.ceil(rows / first) - 1;
    return 4 * rows * config.vocabSize + 4 * (rows - first) * columns + parts * HEAD_BUFFERS * PAGE_BYTES;
  };
}

/** Whose logits a pass computes. */
export interface HeadRows {
  /** Rows whose logits are computed together. @defaultValue 16 */
  readonly together?: number;
  /** Those of more rows come in parts, in the same pass; not so on a device. @defaultValue true */
  readonly inParts?: boolean;
}

/**
 * Bytes of everything that depends on how many rows a pass has, as a function of that number: workspace, values carried
 * between blocks, gathered embedding rows, rotary tables, row descriptions, and logits.
 */
export function activationBytes(
  model: Model,
  readAlignment: number,
  { together = DEFAULT_LOGIT_ROWS, inParts = true }: HeadRows = {},
): (maxRows: number) => number {
  const body = [model.embedding, ...model.layers];
  const bodyColumns = workspaceColumns(body);
  const headColumns = workspaceColumns([model.head]);
  const bodyCarry = carryColumns(body);
  const headCarry = carryColumns([model.head]);
  const ropes = ropeColumns(body);
  const { tables, row, span } = embeddingRow(model.embedding, readAlignment);
  const constants = placeLiterals(model).byteLength;
  const logits = logitBytes(model, together);
  return (maxRows) => {
    const logitRows = Math.min(maxRows, together);
    const workspace = 4 * Math.max(maxRows * bodyColumns, logitRows * headColumns);
    const carried = 4 * (maxRows * bodyCarry + logitRows * headCarry);
    const embedding = (1 + KEPT_ROWS) * maxRows * row + 2 * 64 * tables + Math.min(maxRows, STAGED_ROWS) * span;
    // Rows are described by four int32 each, once for the pass and once for the head.
    const perRow = 4 * (ropes + 8);
    return (
      workspace +
      carried +
      logits(inParts ? maxRows : logitRows) +
      embedding +
      maxRows * perRow +
      constants +
      BUFFERS * PAGE_BYTES
    );
  };
}

function distinctGraphs(blocks: readonly Block[]): Graph[] {
  return [...new Map(blocks.map(({ graph }) => [graph.key, graph])).values()];
}

function workspaceColumns(blocks: readonly Block[]): number {
  return Math.max(0, ...distinctGraphs(blocks).map((graph) => layoutWorkspace(graph).totalColumns));
}

/** One buffer per name that blocks hand on to each other. */
function carryColumns(blocks: readonly Block[]): number {
  const widths = new Map<string, number>();
  for (const { graph } of blocks) {
    for (const [name, value] of [...graph.inputs, ...graph.outputs]) widths.set(name, graph.values[value]!.width);
  }
  return [...widths.values()].reduce((sum, width) => sum + width, 0);
}

function ropeColumns(blocks: readonly Block[]): number {
  const dims = new Map<string, number>();
  for (const graph of distinctGraphs(blocks)) for (const rope of graph.ropes) dims.set(JSON.stringify(rope), rope.dim);
  return [...dims.values()].reduce((sum, dim) => sum + dim, 0);
}

/** Bytes of one gathered row over all tables, and the most one of them occupies as it is read. */
function embeddingRow(block: Block, readAlignment: number): { tables: number; row: number; span: number } {
  const rows = block.graph.ops.flatMap((op) => {
    if (op.op !== 'embed') return [];
    return opWeights(op, block.graph).flatMap((id) => {
      const tensor = block.weights[id]!;
      return tensor.literal === undefined ? [tensor.byteLength / tensor.shape[0]!] : [];
    });
  });
  return {
    // Rows gathered and rows kept of a table start at multiples of 64 bytes.
    tables: rows.length,
    row: rows.reduce((sum, bytes) => sum + bytes, 0),
    span: Math.max(0, ...rows.map((bytes) => worstSpan(bytes, readAlignment))),
  };
}

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
 * Bytes that the logits of `wide` rows of a pass take beyond those of the `together` that activations have room for: what
 * the head computes on for them, and a copy for whoever samples.
 */
export function wideLogitBytes({ config, head }: Model, together: number): (wide: number) => number {
  const columns = carryColumns([head]) + workspaceColumns([head]);
  return (wide) => {
    const more = Math.max(0, wide - together);
    const parts = Math.ceil(more / together);
    return 4 * more * (config.vocabSize + columns) + parts * HEAD_BUFFERS * PAGE_BYTES;
  };
}

/**
 * Bytes of everything that depends on how many rows a pass has, as a function of that number: workspace, values carried
 * between blocks, gathered embedding rows, rotary tables, row descriptions, and logits of the rows that
 * the head computes together (with a copy for whoever samples).
 */
export function activationBytes(
  model: Model,
  readAlignment: number,
  together = DEFAULT_LOGIT_ROWS,
): (maxRows: number) => number {
  const body = [model.embedding, ...model.layers];
  const bodyColumns = workspaceColumns(body);
  const headColumns = workspaceColumns([model.head]);
  const bodyCarry = carryColumns(body);
  const headCarry = carryColumns([model.head]);
  const ropes = ropeColumns(body);
  const { tables, row, span } = embeddingRow(model.embedding, readAlignment);
  const constants = placeLiterals(model).byteLength;
  return (maxRows) => {
    const logitRows = Math.min(maxRows, together);
    const workspace = 4 * Math.max(maxRows * bodyColumns, logitRows * headColumns);
    const carried = 4 * (maxRows * bodyCarry + logitRows * headCarry);
    const logits = 4 * logitRows * model.config.vocabSize;
    const embedding = (1 + KEPT_ROWS) * maxRows * row + 2 * 64 * tables + Math.min(maxRows, STAGED_ROWS) * span;
    // Rows are described by four int32 each, once for the pass and once for the head.
    const perRow = 4 * (ropes + 8);
    return workspace + carried + logits + embedding + maxRows * perRow + constants + BUFFERS * PAGE_BYTES;
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

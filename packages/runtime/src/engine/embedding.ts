import { type EmbedOp, opWeights, type WeightBytes } from '@airllm/kernels';
import { type Extent, HostBuffer, type Reader } from '@airllm/loader';
import { RowError } from '../errors';
import type { Model } from '../models/model';
import { KEPT_ROWS } from '../plan/activations';
import type { Constants } from './constants';
import { KeptRows } from './kept-rows';
import type { Row } from './rows';

/** Rows read at once: bounds the staging memory beside the gathered rows. */
const STAGED_ROWS = 64;

interface Table {
  readonly op: EmbedOp;
  /** The table itself, or a component of it that has its rows. */
  readonly weight: number;
  readonly extent: Extent;
  readonly count: number;
  readonly rowBytes: number;
  /** Where this table's rows are gathered. */
  readonly offset: number;
  /** Rows of passes before, and where they lie. */
  readonly kept: KeptRows;
  readonly keptAt: number;
}

/**
 * Picks the rows of the embedding tables that a pass needs, one read each: a table of gigabytes is never loaded whole.
 * Those wanted last are kept, since texts repeat their words and a token through a small model takes as long as a read.
 */
export class EmbeddingRows {
  readonly #model: Model;
  readonly #reader: Reader;
  readonly #constants: Constants;
  readonly #tables: readonly Table[];
  readonly #gathered: HostBuffer;
  readonly #staging: HostBuffer;
  readonly #span: number;

  constructor(model: Model, reader: Reader, constants: Constants, maxRows: number) {
    const { graph, weights } = model.embedding;
    let offset = 0;
    this.#model = model;
    this.#reader = reader;
    this.#constants = constants;
    this.#tables = graph.ops
      .filter((op): op is EmbedOp => op.op === 'embed')
      .flatMap((op) => opWeights(op, graph).map((weight) => ({ op, weight, tensor: weights[weight]! })))
      .filter(({ tensor }) => tensor.literal === undefined)
      .map(({ op, weight, tensor }) => {
        if (tensor.extent === undefined) throw new RowError(`${tensor.name} has no bytes: the model is on meta`);
        const count = tensor.shape[0]!;
        const rowBytes = tensor.byteLength / count;
        const take = (rows: number) => {
          const at = offset;
          offset += Math.ceil((rowBytes * rows) / 64) * 64;
          return at;
        };
        const slots = KEPT_ROWS * maxRows;
        const places = { offset: take(maxRows), keptAt: take(slots) };
        return { op, weight, extent: tensor.extent, count, rowBytes, ...places, kept: new KeptRows(slots) };
      });
    this.#span = Math.max(...this.#tables.map((table) => rowSpan(reader, table)));
    this.#gathered = HostBuffer.allocate(Math.max(offset, 1), { label: 'embedding rows' });
    this.#staging = HostBuffer.allocate(this.#span * Math.min(maxRows, STAGED_ROWS), { label: 'embedding staging' });
  }

  /** Weights for the embedding graph: row r of each is row r of the pass. */
  async gather(rows: readonly Row[]): Promise<readonly (WeightBytes | undefined)[]> {
    const weights: (WeightBytes | undefined)[] = [];
    for (const table of this.#tables) {
      await this.#gatherTable(table, rows);
      weights[table.weight] = { buffer: this.#gathered, offset: table.offset };
    }
    const { embedding } = this.#model;
    this.#constants.fill(embedding.graph, embedding.weights, weights);
    return weights;
  }

  dispose(): void {
    this.#gathered.dispose();
    this.#staging.dispose();
  }

  async #gatherTable(table: Table, rows: readonly Row[]): Promise<void> {
    const places = new Map<number, number[]>();
    rows.forEach((row, r) => {
      const index = rowIndex(table, row);
      const known = places.get(index);
      if (known) known.push(r);
      else places.set(index, [r]);
    });
    const wanted = [...places].filter(([index, targets]) => {
      const slot = table.kept.find(index);
      if (slot !== undefined) this.#place(table, this.#keptRow(table, slot), targets);
      return slot === undefined;
    });
    for (let from = 0; from < wanted.length; from += STAGED_ROWS) {
      const batch = wanted.slice(from, from + STAGED_ROWS);
      await settled(batch.map(([index, targets], i) => this.#copyRow(table, index, targets, i * this.#span)));
    }
  }

  async #copyRow(table: Table, index: number, targets: readonly number[], at: number): Promise<void> {
    const { file, offset } = table.extent;
    const extent = { file, offset: offset + index * table.rowBytes, length: table.rowBytes };
    const start = await this.#reader.read(extent, this.#staging, at);
    const bytes = this.#staging.bytes(start, table.rowBytes);
    this.#keptRow(table, table.kept.add(index)).set(bytes);
    this.#place(table, bytes, targets);
  }

  #keptRow({ keptAt, rowBytes }: Table, slot: number): Uint8Array {
    return this.#gathered.bytes(keptAt + slot * rowBytes, rowBytes);
  }

  #place({ offset, rowBytes }: Table, bytes: Uint8Array, targets: readonly number[]): void {
    for (const r of targets) this.#gathered.bytes(offset + r * rowBytes, rowBytes).set(bytes);
  }
}

/** Row of the table this row of the pass wants; a vector input has no token, and row 0 stands in for it. */
function rowIndex(table: Table, row: Row): number {
  const number = table.op.by === 'position' ? row.position : typeof row.input === 'number' ? row.input : 0;
  const index = number + table.op.shift;
  if (!Number.isInteger(index) || index < 0 || index >= table.count) {
    const what = table.op.by === 'position' ? 'position' : 'token id';
    throw new RowError(`${what} ${number} is outside the model's table of ${table.count} rows`);
  }
  return index;
}

/** Largest buffer a row can take, wherever it starts. */
function rowSpan(reader: Reader, table: Table): number {
  const { extent, rowBytes } = table;
  const probe = (offset: number) => reader.span({ file: extent.file, offset, length: rowBytes });
  return Math.max(probe(0), probe(4095), probe(extent.offset), probe(extent.offset + rowBytes));
}

async function settled(work: readonly Promise<void>[]): Promise<void> {
  const results = await Promise.allSettled(work);
  for (const result of results) if (result.status === 'rejected') throw result.reason;
}

import { setImmediate } from 'node:timers/promises';
import type { Engine, EngineStats, Row } from '../engine';
import { headShare } from '../plan/pass-work';
import type { Generation } from './generation';
import { PassCosts } from './pass-costs';
import { type RowLimit, rowLimit } from './row-limit';
import { type ShareLimits, shareRows } from './share-rows';

/** What the passes of a model were used for, since it was opened. */
export interface SchedulerStats {
  readonly passes: number;
  readonly rows: number;
  /** Rows whose logits were wanted: each gave a token, unless it was drafted in vain. */
  readonly logitRows: number;
}

/** What one generation contributes to a pass. */
interface Part {
  readonly generation: Generation;
  readonly rows: readonly Row[];
}

interface Place {
  /** Tells whoever waits that it has left. */
  readonly leave: () => void;
  /** The engine's count of passes when it last had rows in one. */
  servedIn: number;
}

/** While others decode, a pass in which prompts are read takes at most so many times as long as one without. */
const PATIENCE = 3;

/**
 * Runs any number of generations through one engine: each pass takes the next rows of all that are ready, of those that
 * decode first, then of prompts in the order they came, in pieces. Generations join and leave between passes; one that
 * fails or is given up leaves without the others noticing. One that is alone runs as if there were no scheduler.
 */
export class Scheduler {
  readonly costs: PassCosts;
  readonly #engine: Engine;
  /** In the order they came. */
  readonly #active = new Map<Generation, Place>();
  #driving = false;
  #wake: () => void = () => {};
  #running: { readonly parts: readonly Part[]; readonly controller: AbortController } | undefined;
  /** Arrays for logits that have been read. */
  readonly #spare: Float32Array[] = [];
  #stats = { passes: 0, rows: 0, logitRows: 0 };

  constructor(engine: Engine) {
    this.#engine = engine;
    this.costs = new PassCosts(headShare(engine.model, engine.plan));
  }

  get stats(): SchedulerStats {
    return { ...this.#stats };
  }

  /** Rows that passes get while several texts are generated, and why. */
  get rowLimit(): RowLimit {
    return rowLimit(this.#engine, this.costs);
  }

  /** Runs a generation to its end. Resolves, never rejects, when no pass holds its sequence any more. */
  run(generation: Generation): Promise<void> {
    return new Promise((resolve) => {
      this.#active.set(generation, { leave: resolve, servedIn: 0 });
      generation.onChange(() => this.#changed(generation));
      if (this.#driving) this.#wake();
      else void this.#drive().catch((error: unknown) => this.#giveUp(error));
    });
  }

  async #drive(): Promise<void> {
    this.#driving = true;
    // Calls made at the same time share their first pass.
    await setImmediate();
    while (this.#active.size > 0) {
      const change = this.#nextChange();
      const parts = await this.#collect();
      if (parts.length > 0) await this.#pass(parts);
      for (const generation of this.#active.keys()) if (generation.ended) this.#dismiss(generation);
      // All wait for their readers.
      if (parts.length === 0 && this.#active.size > 0) await change;
    }
    this.#driving = false;
    this.#spare.length = 0;
  }

  /** What is run in the next pass. */
  async #collect(): Promise<Part[]> {
    await this.#draft(this.#ready().filter(({ drafts }) => drafts));
    const ready = this.#ready();
    if (ready.length === 0) return [];
    const shares = shareRows(
      ready.map(({ wanted }) => wanted),
      this.#limits(ready),
    );
    return ready.flatMap((generation, i) => {
      const rows = shares[i]! > 0 ? rowsOf(generation, shares[i]!, ready.length > 1) : [];
      return rows.length > 0 ? [{ generation, rows }] : [];
    });
  }

  /** Lets drafters guess, together as many tokens as the pass has room for. */
  async #draft(generations: readonly Generation[]): Promise<void> {
    if (generations.length === 0) return;
    const room = Math.min(this.rowLimit.rows, this.#engine.mostLogitRows) - this.#active.size;
    const given = { room: Math.max(0, Math.floor(room / generations.length)), rows: this.#active.size };
    await Promise.all(
      generations.map((generation) => generation.draft(given).catch((error: unknown) => generation.fail(error))),
    );
  }

  /** Those that decode, the one that waited longest first, then prompts in the order they came. */
  #ready(): Generation[] {
    const ready = [...this.#active].filter(([generation]) => generation.ready);
    const decoding = ready.filter(([{ wanted }]) => wanted.prefill === 0);
    decoding.sort(([, a], [, b]) => a.servedIn - b.servedIn);
    return [...decoding, ...ready.filter(([{ wanted }]) => wanted.prefill > 0)].map(([generation]) => generation);
  }

  #limits(ready: readonly Generation[]): ShareLimits {
    const engine = this.#engine;
    const logitRows = engine.mostLogitRows;
    const length = Math.max(...ready.map(({ length }) => length));
    if (ready.length > 1) {
      const { rows } = rowLimit(engine, this.costs, length);
      return { rows, logitRows, prefillRows: this.#prefillRows(ready, rows) };
    }
    // Nobody waits for a prompt that is alone: it gets the widest passes there are, one at a time where that costs nothing.
    const { decoding, prefill } = ready[0]!.wanted;
    const { rows, lent } = engine.passShape(decoding + prefill, length);
    return { rows: lent > 0 ? decoding + prefill : rows, logitRows, prefillRows: Number.POSITIVE_INFINITY };
  }

  /** Rows of prompts beside those that decode, so that these do not wait too long for their next token. */
  #prefillRows(ready: readonly Generation[], most: number): number {
    const decoding = ready.reduce((sum, { wanted }) => sum + (wanted.prefill === 0 ? wanted.decoding : 0), 0);
    return decoding === 0 ? most : this.costs.rowsBeside(decoding, PATIENCE, most);
  }

  async #pass(parts: readonly Part[]): Promise<void> {
    const rows = parts.flatMap((part) => part.rows);
    const controller = new AbortController();
    this.#running = { parts, controller };
    const before = this.#engine.stats;
    const start = performance.now();
    try {
      const logits = await this.#engine.step(rows, { signal: controller.signal, spare: this.#spare });
      this.#record(parts, logits.length, before, performance.now() - start);
      let from = 0;
      for (const { generation, rows } of parts) {
        const count = rows.filter(({ wantsLogits }) => wantsLogits).length;
        take(generation, logits.slice(from, from + count));
        from += count;
      }
      // Of large vocabularies each pass would otherwise leave some tens of megabytes to the garbage collector.
      this.#spare.push(...logits.slice(0, Math.max(0, this.#engine.mostLogitRows - this.#spare.length)));
    } catch (error) {
      // All of them needed what failed. Those that were given up have ended with their own reason.
      for (const { generation } of parts) generation.fail(error);
    } finally {
      this.#running = undefined;
    }
  }

  #record(parts: readonly Part[], logitRows: number, before: EngineStats, milliseconds: number): void {
    const { passes, rows, waitMs, computeMs, bytesRead, stateBytesRead } = this.#engine.stats;
    const count = passes - before.passes;
    this.#stats.passes += count;
    this.#stats.rows += rows - before.rows;
    this.#stats.logitRows += logitRows;
    for (const { generation } of parts) {
      const place = this.#active.get(generation);
      if (place !== undefined) place.servedIn = passes;
    }
    // A model's first pass also reads what then stays in memory.
    if (before.passes === 0 || count === 0) return;
    this.costs.record({
      rows: (rows - before.rows) / count,
      logitRows: logitRows / count,
      seconds: milliseconds / 1000 / count,
      waitSeconds: (waitMs - before.waitMs) / 1000 / count,
      computeSeconds: (computeMs - before.computeMs) / 1000 / count,
      bytesRead: (bytesRead - before.bytesRead + stateBytesRead - before.stateBytesRead) / count,
    });
  }

  /** A generation was given up, or its reader has read. */
  #changed(generation: Generation): void {
    const held = this.#running?.parts.some((part) => part.generation === generation) ?? false;
    if (generation.ended && !held) this.#dismiss(generation);
    // Nobody wants what is being computed.
    if (held && this.#running!.parts.every((part) => part.generation.ended)) this.#running!.controller.abort();
    this.#wake();
  }

  #dismiss(generation: Generation): void {
    const place = this.#active.get(generation);
    this.#active.delete(generation);
    place?.leave();
  }

  /** Nobody must wait for passes that do not come any more. */
  #giveUp(error: unknown): void {
    this.#driving = false;
    for (const generation of this.#active.keys()) {
      generation.fail(error);
      this.#dismiss(generation);
    }
  }

  #nextChange(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve;
    });
  }
}

// What goes wrong with one generation is its own matter.

function rowsOf(generation: Generation, most: number, inCompany: boolean): readonly Row[] {
  try {
    const rows = generation.rows(most);
    // Places for them are made here, so that a lack of them is not the others' trouble. One that is alone may have rows
    // for several passes: they find their places pass by pass.
    if (inCompany) generation.sequence.reserve(generation.sequence.length + rows.length);
    return rows;
  } catch (error) {
    generation.fail(error);
    return [];
  }
}

function take(generation: Generation, logits: readonly Float32Array[]): void {
  try {
    generation.take(logits);
  } catch (error) {
    generation.fail(error);
  }
}

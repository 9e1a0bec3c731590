import type { Draft, Drafter, DraftRequest } from '../generate/speculate/drafter';
import type { Speculator } from '../generate/speculate/speculation';

/** Drafts of this length wherever there is room, whether they pay or not. */
export function fixedDrafts(drafter: Drafter, length: number): Speculator {
  const next = ({ room }: { readonly room: number }) => Math.min(room, length);
  return { drafter, length: { next, recordRight: () => {}, recordCost: () => {}, passSeconds: () => 1 } };
}

/** Knows how a text goes on, and is wrong about every `wrongEvery`-th token. */
export class Oracle implements Drafter {
  readonly name = 'model';
  readonly costly = true;
  readonly assumedSeconds = 0;
  readonly #text: readonly number[];
  readonly #wrongEvery: number;
  #guessed = 0;

  constructor(text: readonly number[], wrongEvery: number) {
    this.#text = text;
    this.#wrongEvery = wrongEvery;
  }

  open() {
    return { draft: (request: DraftRequest) => this.#draft(request), dispose: () => {} };
  }

  async dispose(): Promise<void> {}

  async #draft({ ids, most }: DraftRequest): Promise<Draft> {
    const guesses = this.#text.slice(ids.length, ids.length + most);
    return { ids: guesses.map((id) => (++this.#guessed % this.#wrongEvery === 0 ? (id + 1) % 3 : id)), trust: 0 };
  }
}

import { InferenceSession } from 'onnxruntime-node';
import type { Backend, Feeds } from './backend';

interface Compiled<Model> {
  readonly session: InferenceSession;
  readonly model: Omit<Model, 'bytes'>;
}

/** Models by what they compute, compiled when first needed. */
export class Sessions {
  readonly #backend: Backend;
  readonly #byKey = new Map<string, Compiled<unknown>>();
  runs = 0;

  constructor(backend: Backend) {
    this.#backend = backend;
  }

  get count(): number {
    return this.#byKey.size;
  }

  /** Compiles the model of a key, made by `make`, unless it is known; what `make` said of it beside its bytes. */
  async open<Model extends { readonly bytes: Uint8Array }>(
    key: string,
    make: () => Model,
  ): Promise<Omit<Model, 'bytes'>> {
    let known = this.#byKey.get(key) as Compiled<Model> | undefined;
    if (known === undefined) {
      const { bytes, ...model } = make();
      known = { session: await InferenceSession.create(bytes, this.#backend.sessionOptions), model };
      this.#byKey.set(key, known);
    }
    return known.model;
  }

  /** Runs a model that is open; what it computes is written to `fetches`. */
  async run(key: string, feeds: Feeds, fetches: Feeds): Promise<void> {
    this.runs++;
    await this.#byKey.get(key)!.session.run(feeds, fetches);
  }

  async close(): Promise<void> {
    for (const { session } of this.#byKey.values()) await session.release();
    this.#byKey.clear();
  }
}

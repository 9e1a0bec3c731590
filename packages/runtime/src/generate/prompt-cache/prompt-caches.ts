import { stat } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { BLOCK_POSITIONS, StateError } from '@airllm/kernels';
import { DisposedError, OptionError, openReader } from '@airllm/loader';
import type { Engine, Sequence, StateBlocks } from '../../engine';
import { type CacheFile, openCacheFile, stateName } from './cache-file';
import type { CacheIdentity } from './identity';
import { firstKept, restoreStates } from './restore';
import { ropeClass } from './rope-class';
import { saveCacheFile } from './save';

/** What {@link PromptCaches} work with. */
export interface PromptCachesOptions {
  readonly engine: Engine;
  /** Asked for once, when a file is first named. */
  readonly identity: () => Promise<CacheIdentity>;
  /** Told why a file could not be written: what was generated is there all the same. */
  readonly onWarning: (message: string) => void;
}

/** What a generation has run, when it has left. */
export interface RunText {
  readonly sequence: Sequence;
  /** All tokens, the prompt's first. */
  readonly history: readonly number[];
  /** `ropeLength` of the rows below it. */
  readonly promptLength: number;
}

interface Use {
  readonly file: string;
  /** Positions that came from the file. */
  readonly reused: number;
}

/** Fewer new positions are run again sooner than a file is written anew. */
const LEAST_NEW = BLOCK_POSITIONS;

/** Keys and values of prompts in files: restored before a text is generated, and saved after it. */
export class PromptCaches {
  readonly #options: PromptCachesOptions;
  readonly #uses = new WeakMap<Sequence, Use>();
  /** Work on each file is done in order. */
  readonly #queues = new Map<string, Promise<unknown>>();
  #identity: Promise<CacheIdentity> | undefined;

  constructor(options: PromptCachesOptions) {
    this.#options = options;
  }

  /** Positions of a sequence that came from a file. */
  reused(sequence: Sequence): number {
    return this.#uses.get(sequence)?.reused ?? 0;
  }

  /**
   * Brings an empty sequence as far along a prompt as a file has it, but not to its last token: its logits are wanted.
   * Throws `PromptCacheError`, `OptionError`.
   */
  async restore(path: string, sequence: Sequence, prompt: readonly number[]): Promise<void> {
    const file = resolve(path);
    if (!(await stat(dirname(file)).catch(() => null))?.isDirectory()) {
      throw new OptionError({ option: 'promptCache', expected: 'a file in a folder that exists', found: path });
    }
    for (const { state } of this.#statesOf(sequence)) this.#blocks(state).dispose();
    const identity = await this.#knowIdentity();
    const reused = await this.#inOrder(file, () => this.#restore(file, identity, sequence, prompt));
    this.#uses.set(sequence, { file, reused });
  }

  /** Saves what a generation has run, if it began with a file and has something to add. Never rejects. */
  async save(text: RunText): Promise<void> {
    const use = this.#uses.get(text.sequence);
    if (use === undefined) return;
    this.#uses.delete(text.sequence);
    await this.#inOrder(use.file, () => this.#save(use, text)).catch((error: Error) => {
      // The model was closed meanwhile.
      if (DisposedError.isInstance(error)) return;
      this.#options.onWarning(`airllm: the prompt cache was not saved: ${error.message}`);
    });
  }

  /** Waits for what is being saved. */
  async settle(): Promise<void> {
    await Promise.allSettled([...this.#queues.values()]);
  }

  async #restore(
    file: string,
    identity: CacheIdentity,
    sequence: Sequence,
    prompt: readonly number[],
  ): Promise<number> {
    const states = this.#statesOf(sequence);
    const expected = states.map(({ name, state }) => ({ name, blockBytes: this.#blocks(state).blockBytes }));
    // One of its own: others keep files open, and this one may have another one's place by now.
    const reader = await openReader({ threads: 2 });
    try {
      const cache = await openCacheFile(file, reader, identity, expected);
      const length = cache === null ? 0 : this.#usable(cache, sequence, prompt);
      if (cache === null || length === 0) return 0;
      const { maxRows } = this.#options.engine.plan;
      const wanted = states.map(({ state }, index) => {
        const start = firstKept({ start: cache.states[index]!.start, window: state.spec.window }, length, maxRows)!;
        return { index, start, length, target: this.#blocks(state) };
      });
      await restoreStates(cache, wanted, reader);
      sequence.advance(length);
      return length;
    } catch (error) {
      sequence.truncate(0);
      throw error;
    } finally {
      await reader.close();
    }
  }

  /** Positions of a prompt that a file can give. */
  #usable(cache: CacheFile, sequence: Sequence, prompt: readonly number[]): number {
    const { engine } = this.#options;
    const different = cache.tokens.findIndex((id, i) => id !== prompt[i]);
    const common = Math.min(different < 0 ? cache.tokens.length : different, prompt.length - 1);
    // Keys of this prompt may have to be rotated in another way.
    if (cache.rope !== ropeClass(engine.model, prompt.length)) return 0;
    const held = this.#statesOf(sequence).every(({ state }, i) => {
      const place = { start: cache.states[i]!.start, window: state.spec.window };
      return firstKept(place, common, engine.plan.maxRows) !== null;
    });
    return held ? common : 0;
  }

  async #save({ file, reused }: Use, { sequence, history, promptLength }: RunText): Promise<void> {
    const { model } = this.#options.engine;
    let length = Math.min(sequence.length, history.length);
    const rope = ropeClass(model, promptLength);
    // Keys after the prompt that were rotated in another way would fit no prompt.
    if (rope !== ropeClass(model, Math.max(length, promptLength))) length = Math.min(length, promptLength);
    if (length < LEAST_NEW || length - reused < LEAST_NEW) return;
    try {
      sequence.truncate(length);
    } catch (error) {
      if (StateError.isInstance(error)) return;
      throw error;
    }
    const states = this.#statesOf(sequence).map(({ name, state }) => ({ name, blocks: this.#blocks(state) }));
    await saveCacheFile(file, await this.#knowIdentity(), history.slice(0, length), rope, states, () => {
      if (this.#options.engine.disposed) throw new DisposedError('engine');
    });
  }

  #knowIdentity(): Promise<CacheIdentity> {
    if (this.#identity === undefined) {
      const identity = this.#options.identity();
      this.#identity = identity;
      // A drive that fails once is asked again.
      identity.catch(() => {
        this.#identity = undefined;
      });
    }
    return this.#identity;
  }

  #statesOf({ states }: Sequence) {
    return states.flatMap((layer, l) => layer.map((state, s) => ({ name: stateName(l, s), state })));
  }

  #blocks(state: Sequence['states'][number][number]): StateBlocks {
    const blocks = this.#options.engine.stateBlocks(state);
    if (blocks !== null) return blocks;
    throw new OptionError({
      option: 'promptCache',
      expected: 'nothing: the device keeps its keys and values to itself',
      found: 'a file',
    });
  }

  #inOrder<T>(file: string, work: () => Promise<T>): Promise<T> {
    const result = (this.#queues.get(file) ?? Promise.resolve()).then(work);
    const done = result.then(
      () => {},
      () => {},
    );
    this.#queues.set(file, done);
    void done.then(() => {
      if (this.#queues.get(file) === done) this.#queues.delete(file);
    });
    return result;
  }
}

import { dirname, join, resolve } from 'node:path';
import { type ExecutorInfo, executorBytes, type KvCacheDType } from '@airllm/kernels';
import { OptionError, type ReaderKind, readAlignment } from '@airllm/loader';
import { grammarMemory } from '../generate/structured/grammars';
import type { Model } from '../models/model';
import type { PlanOptions, StatePlace } from '../plan/types';
import { type ByteSize, parseByteSize } from './byte-size';
import { drivesOf } from './drives';
import { defaultMemory, processBytes } from './process-memory';
import { conversionRoot } from './weights/conversion-cache';

/** How much memory a model gets, and for how long a text. */
export interface MemoryOptions {
  /** Most memory the whole process may take. @defaultValue what it has and nine tenths of what is free */
  readonly memory?: ByteSize | undefined;
  /** Caps pinned weights, ring and expert slots only. @defaultValue what `memory` leaves */
  readonly weightsMemory?: ByteSize | undefined;
  /** Positions to hold states for, in each of `maxSequences`. @defaultValue what the model was made for, at most 4096 */
  readonly contextLength?: number | undefined;
  /**
   * Texts of that length that have room at a time: of shorter ones more are generated together, and those that find no
   * room wait. @defaultValue 1
   */
  readonly maxSequences?: number | undefined;
  /**
   * How keys and values are kept. `bfloat16` takes half the memory of `float32` and `int8` (a scale per position and
   * head) about a quarter, read as they are; bytes still do not depend on budget or passes. @defaultValue 'float32'
   */
  readonly kvCacheDtype?: KvCacheDType | undefined;
  /**
   * Where keys and values are kept: in `memory`, or on `disk`, where a layer's are read in each pass while the layer before
   * it computes; layers with a sliding window stay in memory. The bytes are the same. @defaultValue 'auto': in memory, as
   * long as `memory` has room for them beside passes that are not all too narrow
   */
  readonly kvCachePlace?: StatePlace | undefined;
  /**
   * Folder for keys and values on disk. The file there has no name and is gone with the process, however it ends.
   * @defaultValue the folder `state` of AIRLLM_CACHE, else of $XDG_CACHE_HOME/airllm, else of ~/.cache/airllm
   */
  readonly kvCacheDir?: string | undefined;
  /** Rows of a pass that memory is set aside for; longer prompts borrow it. @defaultValue 512, fewer where it is short */
  readonly maxRows?: number | undefined;
  /**
   * Rows whose logits are computed together; each takes 8 bytes per entry of the vocabulary. Of more rows the head computes
   * some after the other in the same pass. @defaultValue 16, which is enough unless whole texts are scored
   */
  readonly logitRows?: number | undefined;
  /**
   * Requests will have a `responseFormat`: sets memory aside for following it, some 90 MB for a vocabulary of 32k entries
   * and 140 MB for 128k. @defaultValue false: the first of them takes it beside `memory`
   */
  readonly structuredOutput?: boolean | undefined;
}

const DEFAULT_CONTEXT = 4096;
/** Reader threads of each drive but the first, whose are in the headroom: measured 41 MB for four. */
const READER_BYTES = 41e6;

/**
 * What a plan for the model in folder `dir` is made from, in this process as it is now; its tokenizer, which `memory`
 * counts too, may still have to be loaded. What the executor takes for itself is counted where it is given. Throws
 * `OptionError`.
 */
export async function resolvePlanOptions(
  dir: string,
  model: Model,
  options: MemoryOptions,
  readerKind: ReaderKind,
  executor?: ExecutorInfo,
): Promise<PlanOptions> {
  const { contextLength = Math.min(model.config.maxPositions, DEFAULT_CONTEXT) } = options;
  if (!Number.isSafeInteger(contextLength) || contextLength < 1) {
    throw new OptionError({ option: 'contextLength', expected: 'a whole number of at least 1', found: contextLength });
  }
  const { maxSequences: sequences = 1 } = options;
  if (!Number.isSafeInteger(sequences) || sequences < 1) {
    throw new OptionError({ option: 'maxSequences', expected: 'a whole number of at least 1', found: sequences });
  }
  const { count, driveOf } = await drivesOf(model);
  return {
    memory: options.memory === undefined ? defaultMemory() : parseByteSize(options.memory, 'memory'),
    ...(options.weightsMemory === undefined
      ? {}
      : { weightsMemory: parseByteSize(options.weightsMemory, 'weightsMemory') }),
    ...(options.maxRows === undefined ? {} : { maxRows: options.maxRows }),
    ...(options.logitRows === undefined ? {} : { logitRows: options.logitRows }),
    processBytes:
      (await processBytes(dir)) +
      (count - 1) * READER_BYTES +
      grammarBytes(model, options) +
      (executor ? executorBytes(executor) : 0),
    contextLength,
    sequences,
    readAlignment: readAlignment(readerKind),
    statePlace: checkedPlace(options.kvCachePlace),
    stateDir: resolve(options.kvCacheDir ?? join(dirname(conversionRoot({})), 'state')),
    ...(count === 1 ? {} : { driveOf }),
  };
}

function grammarBytes({ config }: Model, { structuredOutput = false }: MemoryOptions): number {
  return structuredOutput ? grammarMemory(config.vocabSize) : 0;
}

function checkedPlace(found: StatePlace = 'auto'): StatePlace {
  if (found === 'auto' || found === 'memory' || found === 'disk') return found;
  throw new OptionError({ option: 'kvCachePlace', expected: 'auto, memory or disk', found });
}

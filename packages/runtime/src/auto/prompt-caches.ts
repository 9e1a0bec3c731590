import { createHash } from 'node:crypto';
import type { Executor, KvCacheDType } from '@airllm/kernels';
import { OptionError } from '@airllm/loader';
import type { Engine } from '../engine';
import { type CacheIdentity, weightsDigest } from '../generate/prompt-cache/identity';
import { PromptCaches } from '../generate/prompt-cache/prompt-caches';
import { type Model, storedTensors } from '../models/model';
import type { DevicePlan } from '../plan/types';

export interface OpenPromptCachesOptions {
  readonly engine: Engine;
  readonly executor: Executor;
  readonly kvCacheDtype: KvCacheDType;
  readonly onWarning: (message: string) => void;
}

/** Prompt caches of an open model. */
export function openPromptCaches({ engine, executor, kvCacheDtype, onWarning }: OpenPromptCachesOptions): PromptCaches {
  const { model } = engine;
  const identity = async (): Promise<CacheIdentity> => {
    const { name, isa, computeDtype } = executor.info;
    return {
      modelType: model.config.modelType,
      graphs: graphsDigest(model),
      weights: await weightsOf(model),
      kvCacheDtype,
      computeDtype,
      executor: name,
      isa,
      ...(engine.plan.device !== null && { device: shareOf(engine.plan.device) }),
    };
  };
  return new PromptCaches({ engine, identity, onWarning });
}

/** Its keys and values are kept as it computes them. */
function shareOf({ name, computes }: DevicePlan): string {
  return `${name}: blocks ${computes.flatMap((on, b) => (on ? [b] : [])).join(' ')}`;
}

function graphsDigest(model: Model): string {
  const hash = createHash('sha256');
  for (const { graph } of [model.embedding, ...model.layers, model.head]) hash.update(`${graph.key}\0`);
  return hash.digest('hex');
}

async function weightsOf(model: Model): Promise<string> {
  const files = storedTensors(model).flatMap(({ extent }) => (extent === undefined ? [] : [extent.file]));
  try {
    return await weightsDigest(files);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    const expected = 'a model whose files are there; while they are being downloaded there is none';
    throw new OptionError({ option: 'promptCache', expected, found: (error as NodeJS.ErrnoException).path });
  }
}

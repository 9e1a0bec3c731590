import { readFile } from 'node:fs/promises';
import type { Provider } from '@airllm/kernels';
import { FormatError } from '@airllm/loader';
import type { Model } from '../../models/model';
import type { Plan } from '../../plan/types';
import { writeJson } from '../write-json';

/** Which blocks of a model a device computes, as `planFile` keeps it: what decides bytes, and nothing that does not. */
export interface Placement {
  readonly version: 1;
  readonly modelType: string;
  /** Layers, and the head. */
  readonly blocks: number;
  /** Numbers of blocks; empty where the host computed all. */
  readonly onDevice: readonly number[];
  /** Bytes of the segments that those blocks are cut into; null where there are none. */
  readonly segmentBytes: number | null;
  /** Name of the device, for people. */
  readonly device: string | null;
  /** What of onnxruntime computed there: others round otherwise. */
  readonly provider: Provider | null;
}

/** What a plan decided, with a device that a provider computes on. */
export function placementOf(plan: Plan, model: Model, provider: Provider | null): Placement {
  return {
    version: 1,
    modelType: model.config.modelType,
    blocks: model.layers.length + 1,
    onDevice: (plan.device?.computes ?? []).flatMap((computes, b) => (computes ? [b] : [])),
    segmentBytes: plan.device?.segmentBytes ?? null,
    device: plan.device?.name ?? null,
    provider: plan.device && provider,
  };
}

/** A placement that was made before; null if there is no such file. Throws `FormatError`, also for another model's. */
export async function readPlacement(file: string, model: Model): Promise<Placement | null> {
  const text = await readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return null;
    throw error;
  });
  if (text === null) return null;
  const blocks = model.layers.length + 1;
  const found = parse(file, text);
  if (found.modelType !== model.config.modelType || found.blocks !== blocks) {
    throw new FormatError({
      file,
      reason:
        `it places ${found.modelType} of ${found.blocks} blocks, this model is ${model.config.modelType} of ${blocks} blocks; ` +
        'name another file, or remove it to have it made anew',
    });
  }
  return found;
}

export function writePlacement(file: string, placement: Placement): Promise<void> {
  return writeJson(file, placement);
}

function parse(file: string, text: string): Placement {
  let value: Partial<Placement> | null;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new FormatError({ file, reason: `not JSON: ${(cause as Error).message}`, cause });
  }
  const { version, modelType, blocks, onDevice, segmentBytes, device, provider } = value ?? {};
  const isBlock = (block: unknown) => Number.isInteger(block) && Number(block) >= 0 && Number(block) < Number(blocks);
  const isPlacement =
    version === 1 &&
    typeof modelType === 'string' &&
    Number.isSafeInteger(blocks) &&
    Array.isArray(onDevice) &&
    onDevice.every(isBlock) &&
    (segmentBytes === null || (Number.isSafeInteger(segmentBytes) && Number(segmentBytes) > 0)) &&
    (device === null || typeof device === 'string') &&
    (provider === null || typeof provider === 'string');
  if (!isPlacement) throw new FormatError({ file, reason: 'not a placement as `planFile` writes it' });
  return value as Placement;
}

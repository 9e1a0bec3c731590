import type { Executor } from '@airllm/kernels';
import type { Reader } from '@airllm/loader';
import type { Model } from '../../models/model';
import type { PlanOptions } from '../../plan/types';
import type { OpenWeightsOptions } from '../weights/open-weights';
import type { ResolveModelOptions } from '../weights/resolve-model';

/** Who guesses tokens ahead, if anybody. */
export interface SpeculationOptions {
  /**
   * Who guesses tokens that are then verified several to a pass; the text is the same to the byte. `lookup`: the text
   * itself, whatever it repeats. `self`: a 4-bit copy of the model, made once in the cache and held in memory. `auto`:
   * `draftModel` if there is one, else `lookup`. Nobody guesses where that does not pay. @defaultValue 'auto'
   */
  readonly speculate?: 'auto' | 'off' | 'lookup' | 'self' | undefined;
  /** A smaller model with the same tokenizer, found as the model is and held in memory, to guess tokens. */
  readonly draftModel?: string | undefined;
}

/** The model that is drafted for. */
export interface DraftTarget {
  /** Folder or file its weights were opened by, and the folder of its tokenizer. */
  readonly path: string;
  readonly dir: string;
  readonly model: Model;
  readonly planOptions: PlanOptions;
  readonly executor: Executor;
  readonly reader: Reader;
}

export type ChooseDrafterOptions = SpeculationOptions &
  ResolveModelOptions &
  OpenWeightsOptions & { readonly onWarning: (message: string) => void };

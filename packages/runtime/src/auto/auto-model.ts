import { createExecutor, type ExecutorName } from '@airllm/kernels';
import { type DType, openCheckpoint, openReader, type Reader } from '@airllm/loader';
import { Engine, type Observer } from '../engine';
import { loadGenerationDefaults } from '../generate/generation-config';
import type { Model } from '../models/model';
import { buildModel } from '../models/registry';
import { planResidency } from '../plan/residency';
import { endTokens, loadChatTemplate, loadTokenizer } from '../text';
import { LanguageModel } from './language-model';
import { type MemoryOptions, resolvePlanOptions } from './plan-options';
import { type ResolveModelOptions, resolveModel } from './resolve-model';

export interface FromPretrainedOptions extends ResolveModelOptions, MemoryOptions {
  /** @defaultValue 'auto': native where its library is there, else reference */
  readonly executor?: 'auto' | ExecutorName | undefined;
  /** @defaultValue as many as the machine runs at once */
  readonly threads?: number | undefined;
  /** @defaultValue 'auto': direct where the drive allows it */
  readonly reader?: 'auto' | 'direct' | 'plain' | undefined;
  /** Is told what every read, wait and computation took: see `chromeTrace`. */
  readonly observe?: Observer | undefined;
  /** Told what a person should know, a line each. @defaultValue stderr */
  readonly onWarning?: ((message: string) => void) | undefined;
}

/** Opens models as transformers' class of that name does. */
export class AutoModel {
  private constructor() {}

  /**
   * Opens a model folder or a repository of the local Hugging Face cache. Reads headers only: weights follow with the
   * first pass, as far as the plan keeps them.
   * Throws `ModelNotFoundError`, `FormatError`, `ConfigError`, `UnsupportedConfigError`, `ModelTensorError`,
   * `BudgetError`, `ExecutorUnavailableError`, `OptionError`, `TokenizerError`.
   */
  static async fromPretrained(source: string, options: FromPretrainedOptions = {}): Promise<LanguageModel> {
    const { dir } = await resolveModel(source, options);
    const [checkpoint, text, defaults] = await Promise.all([
      openCheckpoint(dir, { signal: options.signal }),
      loadText(dir),
      loadGenerationDefaults(dir),
    ]);
    const model = buildModel(checkpoint.config, checkpoint);
    const reader = await openReader({ kind: options.reader ?? 'auto' });
    try {
      return await assemble(dir, model, reader, text, defaults, options);
    } catch (error) {
      await reader.close();
      throw error;
    }
  }

  /** The model a config.json describes, every weight on meta: for counts, plans and sizes without any weights. */
  static fromConfig(config: Readonly<Record<string, unknown>>, options: { dtype?: DType } = {}): Model {
    return buildModel(config, { dtype: options.dtype ?? 'BF16' });
  }
}

type Text = Awaited<ReturnType<typeof loadText>>;

async function loadText(dir: string) {
  const tokenizer = await loadTokenizer(dir);
  const [chatTemplate, ends] = await Promise.all([loadChatTemplate(dir), endTokens(dir, tokenizer)]);
  return { tokenizer, chatTemplate, endTokens: ends };
}

async function assemble(
  dir: string,
  model: Model,
  reader: Reader,
  text: Text,
  defaults: Awaited<ReturnType<typeof loadGenerationDefaults>>,
  options: FromPretrainedOptions,
): Promise<LanguageModel> {
  const executor = await createExecutor({
    executor: options.executor ?? 'auto',
    onWarning: options.onWarning ?? ((message) => process.stderr.write(`${message}\n`)),
    ...(options.threads === undefined ? {} : { threads: options.threads }),
  });
  try {
    const planOptions = resolvePlanOptions(model, options, reader.kind);
    const { contextLength } = planOptions;
    const plan = planResidency(model, planOptions);
    const engine = new Engine({ model, plan, executor, reader, observe: options.observe });
    const info = {
      modelType: model.config.modelType,
      dir,
      parameterCount: model.parameterCount,
      executor: executor.info.name,
      isa: executor.info.isa,
      threads: executor.info.threads,
      contextLength,
      reader: reader.kind,
      plan,
    };
    return new LanguageModel({ info, session: { engine, contextLength, defaults, ...text }, executor, reader });
  } catch (error) {
    await executor.dispose();
    throw error;
  }
}

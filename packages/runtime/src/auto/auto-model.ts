import { createExecutor, type Executor, type ExecutorOptions } from '@airllm/kernels';
import { type DType, openReader, type Reader } from '@airllm/loader';
import { Engine } from '../engine';
import { loadGenerationConfig, readGenerationDefaults } from '../generate/generation-config';
import { Scheduler } from '../generate/scheduler';
import { DraftLength } from '../generate/speculate/draft-length';
import { Grammars } from '../generate/structured/grammars';
import type { Model } from '../models/model';
import { type BuildModelOptions, buildModel } from '../models/registry';
import { checkOptionNames } from '../option-names';
import { endTokens, loadChatTemplate, loadTokenizer } from '../text';
import { checkContext } from './check-context';
import { fitDevice } from './device/fit-device';
import { openPlaces } from './device/open-places';
import { chooseDrafter } from './draft/choose-drafter';
import { FROM_PRETRAINED_NAMES, type FromPretrainedOptions } from './from-pretrained-options';
import { LanguageModel } from './language-model';
import { resolvePlanOptions } from './plan-options';
import { openPromptCaches } from './prompt-caches';
import { findWeights } from './weights/find-weights';

/** Opens models as transformers' class of that name does. */
export class AutoModel {
  private constructor() {}

  /**
   * Opens a model folder, a file with weights (GGUF among them), or a repository by its id. Waits for headers and
   * tokenizer only: the first weights are then on their way, from the drive or, where the Hugging Face cache lacks them,
   * from the Hub, and the first tokens come when the last of them has (a download that fails later is met by the calls
   * that wait for it). A model in a layout that cannot be computed with is converted first, once, while it comes
   * (`onConversion`).
   * Throws `ModelNotFoundError`, `FormatError`, `ConfigError`, `UnsupportedConfigError`, `ModelTensorError`,
   * `BudgetError`, `ExecutorUnavailableError`, `OptionError`, `TokenizerError`, and for a
   * conversion or download `NoSpaceError`, `WriteError`, and `HubError`s. Another process that downloads or converts the
   * same model is waited for (`onDelay`), and what it makes is used.
   */
  static async fromPretrained(source: string, options: FromPretrainedOptions = {}): Promise<LanguageModel> {
    checkOptionNames(options, FROM_PRETRAINED_NAMES);
    const closing: (() => Promise<void>)[] = [];
    try {
      // First, since its thread takes a moment to start.
      const drive = await openReader({ kind: options.reader ?? 'auto' });
      closing.push(() => drive.close());
      const { path, weights, arrive } = await findWeights(source, options);
      const { dir, config } = weights;
      const model = buildModel(config, weights, options);
      // Weights that are not here are downloaded while they are computed with.
      const arrival = await arrive?.(model, drive);
      if (arrival !== undefined) closing.push(() => arrival.close());
      const reader = arrival ?? drive;
      const executor = await createExecutor(executorOptions(options));
      closing.push(() => executor.dispose());
      const { device, keep } = await openPlaces(model, { ...options, onWarning: onWarningOf(options) });
      closing.push(async () => device?.executor.dispose());
      const hostOptions = await resolvePlanOptions(dir, model, options, reader.kind, executor.info);
      const warn = onWarningOf(options);
      checkContext(model, hostOptions.contextLength, warn);
      const granted = device && { ...hostOptions, device: device.grant };
      const fitted = granted && (await fitDevice(model, granted, device.executor.device!, warn));
      const planOptions = { ...hostOptions, device: fitted ?? undefined };
      const target = { path, dir, model, planOptions, executor, reader };
      const { plan, drafter } = await chooseDrafter(target, { ...options, onWarning: onWarningOf(options) });
      closing.push(async () => drafter?.dispose());
      await keep(plan);
      if (fitted !== null && plan.device === null) {
        warn(`airllm: computing on the CPU, because ${fitted.bytes} bytes of GPU memory hold no block`);
      }
      const deviceExecutor = device?.executor;
      const engine = new Engine({ model, plan, executor, reader, arrival, deviceExecutor, observe: options.observe });
      closing.push(() => engine.dispose());
      // The drive works while the tokenizer is read.
      engine.prefetch();
      const { contextLength } = planOptions;
      const text = await loadText(dir, config, options.signal);
      const scheduler = new Scheduler(engine);
      const speculator = drafter === null ? undefined : { drafter, length: new DraftLength(scheduler.costs, drafter) };
      const kvCacheDtype = options.kvCacheDtype ?? 'float32';
      const promptCaches = openPromptCaches({ engine, executor, kvCacheDtype, onWarning: onWarningOf(options) });
      closing.push(() => promptCaches.settle());
      const { vocabSize } = model.config;
      const grammars = new Grammars({ ...text, vocabSize });
      const session = { engine, scheduler, speculator, promptCaches, grammars, contextLength, ...text };
      return new LanguageModel({
        info: {
          ...infoOf(dir, engine, executor, reader),
          contextLength,
          kvCacheDtype,
          drafter: drafter?.name ?? null,
        },
        session,
        dispose: () => closeAll(closing),
      });
    } catch (error) {
      await closeAll(closing);
      throw error;
    }
  }

  /** The model a config.json describes, every weight on meta: for counts, plans and sizes without any weights. */
  static fromConfig(
    config: Readonly<Record<string, unknown>>,
    options: { dtype?: DType } & BuildModelOptions = {},
  ): Model {
    return buildModel(config, { dtype: options.dtype ?? 'BF16' }, options);
  }
}

/** `config` is the checkpoint's, read already. */
async function loadText(dir: string, config: Record<string, unknown> | null, signal: AbortSignal | undefined) {
  const tokenizer = await loadTokenizer(dir, { signal });
  const [chatTemplate, generationConfig] = await Promise.all([
    loadChatTemplate(dir),
    loadGenerationConfig(dir, signal),
  ]);
  return {
    tokenizer,
    chatTemplate,
    endTokens: await endTokens({ config: config ?? undefined, generationConfig }, tokenizer),
    defaults: readGenerationDefaults(generationConfig ?? {}),
  };
}

function onWarningOf({ onWarning }: FromPretrainedOptions): (message: string) => void {
  return onWarning ?? ((message) => process.stderr.write(`${message}\n`));
}

function executorOptions(options: FromPretrainedOptions): ExecutorOptions {
  return {
    executor: options.executor ?? 'auto',
    onWarning: onWarningOf(options),
    ...(options.threads === undefined ? {} : { threads: options.threads }),
    ...(options.computeDtype === undefined ? {} : { computeDtype: options.computeDtype }),
  };
}

/** What was opened last is closed first. */
async function closeAll(closing: readonly (() => Promise<void>)[]): Promise<void> {
  for (const close of [...closing].reverse()) await close();
}

function infoOf(dir: string, engine: Engine, executor: Executor, reader: Reader) {
  return {
    modelType: engine.model.config.modelType,
    dir,
    parameterCount: engine.model.parameterCount,
    executor: executor.info.name,
    isa: executor.info.isa,
    threads: executor.info.threads,
    computeDtype: executor.info.computeDtype,
    reader: reader.kind,
    plan: engine.plan,
  };
}

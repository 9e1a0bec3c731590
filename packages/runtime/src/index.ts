/// <reference lib="esnext.disposable" />
export { AutoModel } from './auto/auto-model';
export { type ByteSize, parseByteSize } from './auto/byte-size';
export { type ExaminedGpus, type ExamineGpusOptions, examineGpus } from './auto/device/examine-gpus';
export { type DeviceOptions, type OpenDeviceOptions, type OpenedDevice, openDevice } from './auto/device/open-device';
export { openPlaces, type Places } from './auto/device/open-places';
export type { SpeculationOptions } from './auto/draft/draft-target';
export type { FromPretrainedOptions } from './auto/from-pretrained-options';
export { LanguageModel, type ModelInfo } from './auto/language-model';
export { type MemoryOptions, resolvePlanOptions } from './auto/plan-options';
export { tokenizerMemory } from './auto/process-memory';
export {
  type ConversionCacheOptions,
  type ConvertedCopy,
  listConverted,
  removeConverted,
} from './auto/weights/conversion-cache';
export {
  type ConversionProgress,
  needsConversion,
  type OpenWeightsOptions,
  openWeights,
  type RunnableWeights,
} from './auto/weights/open-weights';
export { type ResolvedModel, type ResolveModelOptions, resolveModel } from './auto/weights/resolve-model';
export { type ShardedModel, type ShardModelOptions, shardModel } from './auto/weights/shard-model';
export { listSharded, recordSharded, removeSharded, type ShardedCopy } from './auto/weights/sharded-copies';
export { AnswerFile } from './batch/answer-file';
export { AnswerFileError } from './batch/answer-file-error';
export type { BatchAnswer, BatchAnswerError } from './batch/answers';
export { LineLedger } from './batch/line-ledger';
export { type BatchLines, runBatch } from './batch/run-batch';
export { readLines } from './batch/split-lines';
export type { BatchModel, BatchProgress, RunBatchOptions } from './batch/types';
export type { ConversionDelay, Delay, DelayOptions, DownloadDelay, RetryDelay } from './delay';
export {
  type Arrival,
  chromeTrace,
  Engine,
  type EngineOptions,
  type EngineStats,
  type Observer,
  type Row,
  Sequence,
  type Span,
  type StateBlocks,
  type StepOptions,
  Streamer,
  type Track,
} from './engine';
export {
  BudgetError,
  ConfigError,
  ContextLengthError,
  MissingTokenizerError,
  ModelNotFoundError,
  ModelTensorError,
  RowError,
  type TensorMismatch,
  UnsupportedConfigError,
} from './errors';
export {
  Batch,
  type BatchOptions,
  type BatchOutcome,
  type BatchRequests,
  type BatchStats,
} from './generate/batch';
export { continuationRows } from './generate/continuation';
export { InvalidLogitsError, NoCandidateError } from './generate/errors';
export { generate, stream } from './generate/generate';
export { type GenerationDefaults, loadGenerationDefaults, readGenerationDefaults } from './generate/generation-config';
export type { ChosenLogprob, TokenLogprob } from './generate/logprobs';
export {
  type GenerationContext,
  type GenerationOptions,
  type LimitOptions,
  type LogitsOptions,
  type LogprobsOptions,
  type ResolvedGeneration,
  resolveGeneration,
  type SamplingOptions,
  type StoppingCriteria,
  type StructureOptions,
} from './generate/options';
export type { MeasuredPass, PassCosts } from './generate/pass-costs';
export {
  type PerplexityOptions,
  type PerplexityProgress,
  type PerplexityResult,
  perplexity,
} from './generate/perplexity';
export type { CacheIdentity } from './generate/prompt-cache/identity';
export { PromptCaches, type PromptCachesOptions, type RunText } from './generate/prompt-cache/prompt-caches';
export { type RandomSource, seededRandom } from './generate/random';
export type { RowLimit } from './generate/row-limit';
export {
  argmax,
  type Candidate,
  draw,
  type LogitsProcessor,
  processLogits,
  type Sampling,
  sample,
  targetDistribution,
} from './generate/sampling';
export { Scheduler, type SchedulerStats } from './generate/scheduler';
export type { GenerationSession } from './generate/session';
export { DraftLength } from './generate/speculate/draft-length';
export type { Draft, Drafter, DrafterName, DraftRequest, DraftSession } from './generate/speculate/drafter';
export { ModelDrafter, type ModelDrafterOptions } from './generate/speculate/model-drafter';
export { PromptLookup } from './generate/speculate/prompt-lookup';
export type { SpeculationStats, Speculator } from './generate/speculate/speculation';
export { GrammarError, GrammarLibraryError } from './generate/structured/errors';
export { Grammars, type GrammarsOptions } from './generate/structured/grammars';
export type { ResponseFormat } from './generate/structured/response-format';
export type {
  FinishReason,
  GenerateOptions,
  GenerateRequest,
  GenerateResult,
  GenerateStats,
  Prompt,
  StreamEvent,
  Usage,
} from './generate/types';
export {
  ChecksumError,
  FileChangedError,
  GatedRepositoryError,
  type Hub,
  HubAccessError,
  type HubCallOptions,
  HubError,
  type HubFile,
  type HubFileAddress,
  type HubModelInfo,
  type HubOptions,
  HubUnavailableError,
  type ModelAddress,
  OfflineError,
  openHub,
  openPull,
  type Pull,
  type PulledModel,
  type PullOptions,
  type PullProgress,
  parseAddress,
  pullModel,
  RateLimitError,
  RepositoryFileError,
  RepositoryNotFoundError,
  type RetryOptions,
  RevisionNotFoundError,
  type WeightsWanted,
} from './hub';
export {
  type CachedFile,
  type CachedFormat,
  type CachedModel,
  type CachedQuantisation,
  type CachedSnapshot,
  CacheInUseError,
  type FilesDescription,
  type HubCacheOptions,
  listCached,
  type RemovedModel,
  type RemoveOptions,
  removeCached,
  removeQuantisation,
} from './hub-cache';
export type { MeasuredDType } from './measure/chain';
export type { ComputeSpeed, StepCosts } from './measure/compute';
export { measureDevice } from './measure/device';
export type { DriveSpeed } from './measure/drive';
export type { ProviderSpeeds, UnusableProvider } from './measure/gpus';
export {
  type MachineSpeeds,
  type MeasureOptions,
  type MeasureStep,
  measureMachine,
  passSpeeds,
  weightDType,
} from './measure/machine';
export { type MemoryLimits, memoryLimits } from './measure/memory-limits';
export { describeCheckpoint, describeModel } from './models/describe';
export {
  configDType,
  type DescribeSource,
  type DTypeShare,
  type ModelDescription,
  type StateDescription,
  type StateGroup,
  stateBytesAt,
} from './models/description';
export { type Model, type ModelConfig, type ModelTensor, storedTensors } from './models/model';
export { type BuildModelOptions, buildModel, type MetaDTypes, readConfig, type TensorMap } from './models/registry';
export type { QuantisedOnMeta } from './models/tensor-source';
export {
  type DeviceSpeeds,
  type Limit,
  type PassPrediction,
  type PassSpeeds,
  type PredictOptions,
  predictPass,
} from './plan/predict';
export { planResidency } from './plan/residency';
export { stateBytes } from './plan/state-bytes';
export { type DeviceSummary, type PlanSummary, summarisePlan } from './plan/summary';
export type {
  DeviceBlocks,
  DeviceGrant,
  DevicePlan,
  DiskStatePlan,
  DraftBytes,
  ExpertSegment,
  GraphPasses,
  Plan,
  PlanOptions,
  Segment,
  StatePlace,
  WeightExtent,
} from './plan/types';
export { StaleWeightsError } from './remote/errors';
export { type PlannedPullFile, type PullPlan, planPull } from './remote/plan-pull';
export { openRemoteModel, type RemoteModel, type RemoteModelOptions } from './remote/remote-model';
export { PromptCacheError, StateDamagedError, StateSpaceError } from './state-errors';
export {
  type ChatContentPart,
  type ChatMessage,
  ChatTemplate,
  ChatTemplateError,
  type ChatTemplateReason,
  type ChatTemplateSource,
  createTokenizer,
  type DecodeOptions,
  type EncodeOptions,
  type EndTokenFiles,
  endTokens,
  loadChatTemplate,
  loadTokenizer,
  MissingChatTemplateError,
  type RenderChatOptions,
  renderChat,
  type SpecialTokens,
  StopStrings,
  TextStream,
  type TextStreamOptions,
  Tokenizer,
  TokenizerError,
  type TokenizerFiles,
} from './text';

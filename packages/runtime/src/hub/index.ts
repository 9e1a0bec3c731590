export { CacheLayout, cachedRepos } from './cache/cache-layout';
export { type CachedSnapshot, findCached } from './cached-snapshot';
export {
  ChecksumError,
  FileChangedError,
  GatedRepositoryError,
  HubAccessError,
  HubError,
  HubUnavailableError,
  OfflineError,
  RateLimitError,
  RepositoryFileError,
  RepositoryNotFoundError,
  RevisionNotFoundError,
} from './errors';
export { openPull, pullModel } from './pull-model';
export { type ModelAddress, parseAddress } from './repo/address';
export { type ChooseOptions, chooseFiles } from './repo/choose-files';
export { openHub } from './repo/client';
export { nearestNames } from './repo/nearest';
export { hubCache, isOffline } from './settings';
export type {
  Hub,
  HubCallOptions,
  HubFile,
  HubFileAddress,
  HubModelInfo,
  HubOptions,
  Pull,
  PulledModel,
  PullOptions,
  PullProgress,
  RetryOptions,
  WeightsWanted,
} from './types';

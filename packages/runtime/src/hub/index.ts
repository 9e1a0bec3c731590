export { type ModelAddress, parseAddress } from './address';
export { CacheLayout, cachedRepos } from './cache-layout';
export { type CachedSnapshot, findCached } from './cached-snapshot';
export { type ChooseOptions, chooseFiles } from './choose-files';
export { openHub, REPO_ID } from './client';
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
export { nearestNames } from './nearest';
export { openPull, pullModel } from './pull-model';
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

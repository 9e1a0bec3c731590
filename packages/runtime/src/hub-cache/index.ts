export type { CachedFormat, FilesDescription } from './describe-files';
export { CacheInUseError } from './errors';
export {
  type CachedFile,
  type CachedModel,
  type CachedQuantisation,
  type CachedSnapshot,
  type HubCacheOptions,
  listCached,
} from './list-cached';
export { type RemovedModel, type RemoveOptions, removeCached } from './remove-cached';
export { removeQuantisation } from './remove-quantisation';

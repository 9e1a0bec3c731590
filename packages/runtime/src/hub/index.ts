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

export { type ContentSource, fileContent, type HubContent, patternContent } from './content';
export type { Fault, FaultRule, Route } from './faults';
export { Link } from './link';
export { Ration } from './ration';
export type { RepoOptions, ServedRepo } from './repos';
export { HubServer, type HubServerOptions, type RequestRecord } from './server';

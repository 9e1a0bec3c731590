export type { Arrival } from './arrival';
export { Engine, type EngineOptions, type EngineStats, type StepOptions } from './engine';
export type { Row } from './rows';
export { Sequence } from './sequence';
export type { StateBlocks } from './state-blocks';
export { Streamer } from './streamer';
export { chromeTrace, type Observer, type Span, type Track } from './trace';

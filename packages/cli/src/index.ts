export { EXIT, type ExitCode } from './exit-codes';
export type { CliIo, StopSignal } from './io';
export { main } from './main';

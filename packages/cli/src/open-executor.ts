import { createExecutor, type Executor, type ExecutorOptions } from '@airllm/kernels';
import type { Terminal } from './output/terminal';

/** What of the execution options an executor is made from. */
export interface ExecutorChoice {
  readonly executor?: ExecutorOptions['executor'] | undefined;
  readonly threads?: ExecutorOptions['threads'] | undefined;
  readonly computeDtype?: ExecutorOptions['computeDtype'] | undefined;
}

/** The executor that a command line asks for; its warnings go to stderr. */
export function openExecutor(choice: ExecutorChoice, terminal: Terminal): Promise<Executor> {
  const { executor = 'auto', threads, computeDtype } = choice;
  return createExecutor({
    executor,
    onWarning: (message) => terminal.tell(`${message}\n`),
    ...(threads === undefined ? {} : { threads }),
    ...(computeDtype === undefined ? {} : { computeDtype }),
  });
}

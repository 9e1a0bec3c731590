/** What a shell sees when `airllm` ends. */
export const EXIT = {
  ok: 0,
  failure: 1,
  usage: 2,
  budget: 3,
  network: 4,
  interrupted: 130,
  brokenPipe: 141,
  terminated: 143,
} as const;

export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

/** In words, for the help and the README. */
export const EXIT_MEANINGS: readonly (readonly [ExitCode, string])[] = [
  [EXIT.ok, 'done'],
  [EXIT.failure, 'failed while running: a model that is missing, damaged or not supported, a full drive, …'],
  [EXIT.usage, 'wrong usage: an unknown command or option, or a value that makes no sense'],
  [EXIT.budget, 'the memory granted is too small for the model; the message says how much is needed'],
  [EXIT.network, 'the Hub, or the way to it, does not answer; run it again later, what has arrived is kept'],
  [EXIT.interrupted, 'ended by Ctrl-C (SIGINT)'],
  [EXIT.brokenPipe, 'whoever read the output has gone, as in `airllm … | head`'],
  [EXIT.terminated, 'ended by SIGTERM'],
];

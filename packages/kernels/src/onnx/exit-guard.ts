/**
 * onnxruntime ends the process with a crash where its thread is stopped in one of its calls, as happens at
 * `process.exit`. So while threads compute, the exit waits for the request that is being answered, and none begins after
 * it.
 */
const STOP = 0;
const BUSY = 1;

/** No exit waits longer; a call that takes more may never return. */
const LONGEST_MS = 10_000;

/** What a thread and its host tell each other by. */
export function newFlags(): Int32Array {
  return new Int32Array(new SharedArrayBuffer(8));
}

const busy = new Set<Int32Array>();

function hold(): void {
  for (const flags of busy) {
    Atomics.store(flags, STOP, 1);
    Atomics.wait(flags, BUSY, 1, LONGEST_MS);
  }
}

/** The host's side. */
export class ExitGuard {
  readonly #flags: Int32Array;

  constructor(flags: Int32Array) {
    this.#flags = flags;
  }

  /** The thread has something to do. */
  begin(): void {
    if (busy.size === 0) process.on('exit', hold);
    busy.add(this.#flags);
  }

  rest(): void {
    if (busy.delete(this.#flags) && busy.size === 0) process.off('exit', hold);
  }
}

/** The thread's side: does a piece of work that must not be broken off; never settles once the process ends. */
export async function unbroken<T>(flags: Int32Array, work: () => Promise<T>): Promise<T> {
  Atomics.store(flags, BUSY, 1);
  if (Atomics.load(flags, STOP) === 1) {
    rest(flags);
    return new Promise(() => {});
  }
  try {
    return await work();
  } finally {
    rest(flags);
  }
}

function rest(flags: Int32Array): void {
  Atomics.store(flags, BUSY, 0);
  Atomics.notify(flags, BUSY);
}

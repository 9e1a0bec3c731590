/** The bytes end inside the pickle. Whoever holds a longer file may come back with more of it. */
export class PickleEnd extends Error {}

/** A pickle that no reader should follow further. */
export class PickleFault extends Error {
  constructor(
    readonly reason: string,
    /** What to do, where it is not to download the file again. */
    readonly advice?: string,
  ) {
    super(reason);
  }
}

export function fault(reason: string, advice?: string): never {
  throw new PickleFault(reason, advice);
}

import type { Extent, Reader } from '@airllm/loader';
import type { PullOptions } from '../hub';
import type { ByteRange } from '../hub/range-set';
import { ArrivingReader } from './arriving-reader';
import { beginPull, type Coming } from './begin-pull';
import { nameIn } from './name-in';

/** Who reads what is to come, and in which order. */
export interface Reading {
  /** Weights in the order in which they are wanted. */
  readonly order: readonly Extent[];
  /** Reads what has arrived; closed with the result. */
  readonly reader: Reader;
  /** Looks at the files once all of them are there; what it throws is met by who waits for them to be settled. */
  readonly check?: (() => Promise<void>) | undefined;
}

/**
 * Begins to download a model's files in the order in which they are computed with, and returns what reads them while they
 * arrive. `signal` ends the beginning only; closing the result ends the download, and what there is of it is kept. Throws as
 * `openPull`.
 */
export async function arrive(
  coming: Coming,
  { order, reader, check }: Reading,
  options: PullOptions,
): Promise<ArrivingReader> {
  let arriving: ArrivingReader | undefined;
  const ranges = new Map<string, ByteRange[]>();
  for (const { file, offset, length } of order) {
    const name = nameIn(coming.dir, file);
    const known = ranges.get(name);
    const range = { from: offset, to: offset + length };
    if (known === undefined) ranges.set(name, [range]);
    else known.push(range);
  }
  const wanted: PullOptions['wanted'] = ({ path }) => ranges.get(path) ?? [];
  const onDiscarded: PullOptions['onDiscarded'] = (file) => arriving?.discarded(file);
  const { pull, stop } = await beginPull(coming, [...ranges.keys()], { ...options, onDiscarded, wanted });
  arriving = new ArrivingReader(reader, { ...pull, done: checked(pull.done, check) }, stop);
  return arriving;
}

function checked<T>(done: Promise<T>, check: (() => Promise<void>) | undefined): Promise<T> {
  const result = check === undefined ? done : done.then((value) => check().then(() => value));
  // Not everybody waits for it.
  result.catch(() => {});
  return result;
}

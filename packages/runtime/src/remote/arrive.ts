import type { Reader } from '@airllm/loader';
import type { PullOptions } from '../hub';
import { ArrivingReader } from './arriving-reader';
import { beginPull, type Coming } from './begin-pull';
import { nameIn } from './name-in';

/** Who reads what is to come, and in which order. */
export interface Reading {
  /** Paths of weights in the order in which they are wanted. */
  readonly order: readonly string[];
  /** Reads what has arrived; closed with the result. */
  readonly reader: Reader;
}

/**
 * Begins to download a model's files in the order in which they are computed with, and returns what reads them while they
 * arrive. `signal` ends the beginning only; closing the result ends the download, and what there is of it is kept. Throws as
 * `openPull`.
 */
export async function arrive(
  coming: Coming,
  { order, reader }: Reading,
  options: PullOptions,
): Promise<ArrivingReader> {
  let arriving: ArrivingReader | undefined;
  const names = order.map((path) => nameIn(coming.dir, path));
  const onDiscarded: PullOptions['onDiscarded'] = (file) => arriving?.discarded(file);
  const { pull, stop } = await beginPull(coming, names, { ...options, onDiscarded });
  arriving = new ArrivingReader(reader, pull, stop);
  return arriving;
}

import { stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { type Model, storedTensors } from '../models/model';

/** Where the files of a model's weights lie, links followed. */
export interface Drives {
  readonly count: number;
  readonly driveOf: (file: string) => number;
}

export async function drivesOf(model: Pick<Model, 'tensors'>): Promise<Drives> {
  const files = new Set(storedTensors(model).flatMap(({ extent }) => (extent === undefined ? [] : [extent.file])));
  const drives = new Map<string, number>();
  const look = async (file: string) => {
    // One that is still being downloaded will lie where its folder does; any other is met, and named, by the reader.
    const found = await stat(file).catch(() => stat(dirname(file)).catch(() => undefined));
    drives.set(file, found?.dev ?? 0);
  };
  await Promise.all([...files].map(look));
  return { count: Math.max(1, new Set(drives.values()).size), driveOf: (file) => drives.get(file) ?? 0 };
}

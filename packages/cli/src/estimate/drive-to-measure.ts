import path from 'node:path';
import type { ModelFiles } from '../model-files';

/** A temporary file of 256 MiB must not be what fills a drive. */
const ROOM = 2 ** 30;

/** The folder whose drive a model's weights are, or will be, read from. Undefined where nothing tells. */
export function driveToMeasure({ source, dir, download }: ModelFiles): { dir?: string; writeTemporary?: boolean } {
  if (download === null) return source === null ? {} : { dir };
  // A snapshot is for the model's files only; beside it there is room.
  return { dir: path.resolve(dir, '..', '..'), writeTemporary: download.free > ROOM };
}

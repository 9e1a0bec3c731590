import { relative, sep } from 'node:path';

/** The name that a file of a snapshot has in its repository. */
export function nameIn(dir: string, path: string): string {
  return relative(dir, path).split(sep).join('/');
}

import { copyFileSync, mkdirSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { temporaryFolder } from './temporary';

/** A hub cache with the files of a folder as `org/name`, at one commit for each extra file given. */
export function hubCacheWith(source: string, commits: Readonly<Record<string, string>>, cacheDir = temporaryFolder()) {
  const dir = path.join(cacheDir, 'models--org--name');
  const blobs = path.join(dir, 'blobs');
  mkdirSync(path.join(dir, 'refs'), { recursive: true });
  mkdirSync(blobs);
  const names = readdirSync(source);
  const digest = (i: number) => String(i).padStart(64, '0');
  for (const [i, name] of names.entries()) copyFileSync(path.join(source, name), path.join(blobs, digest(i)));
  for (const [c, [ref, commit]] of Object.entries(commits).entries()) {
    const snapshot = path.join(dir, 'snapshots', commit);
    mkdirSync(snapshot, { recursive: true });
    for (const [i, name] of names.entries()) symlinkSync(`../../blobs/${digest(i)}`, path.join(snapshot, name));
    writeFileSync(path.join(blobs, digest(100 + c)), commit);
    symlinkSync(`../../blobs/${digest(100 + c)}`, path.join(snapshot, 'README.md'));
    writeFileSync(path.join(dir, 'refs', ref), commit);
  }
  return { cacheDir, dir, snapshot: (commit: string) => path.join(dir, 'snapshots', commit) };
}

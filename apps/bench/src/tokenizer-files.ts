import { cp, readdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { tokenizerFiles } from './synthetic-tokenizer';

/** Whether a file of a model folder belongs to its tokenizer. */
export function isTokenizerFile(name: string): boolean {
  return name.startsWith('tokenizer');
}

/** Puts a tokenizer into a model folder: a copy of a folder's, or a made-up one of so many entries. */
export async function placeTokenizer(to: string, from: string | number): Promise<void> {
  if (typeof from === 'number') {
    for (const [name, value] of Object.entries(tokenizerFiles(from))) {
      if (isTokenizerFile(name)) await writeFile(path.join(to, name), JSON.stringify(value));
    }
    return;
  }
  const names = (await readdir(from)).filter(isTokenizerFile);
  if (!names.includes('tokenizer.json')) throw new Error(`${from} has no tokenizer.json`);
  for (const name of names) await cp(path.join(from, name), path.join(to, name));
}

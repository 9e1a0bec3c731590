import { open, readdir, stat } from 'node:fs/promises';
import path from 'node:path';

const CHUNK = 16 * 2 ** 20;

/** Reads a model's file, or all of its folder's, the way that leaves them in the page cache: the engine reads past it. */
export async function fillPageCache(model: string): Promise<void> {
  const buffer = Buffer.alloc(CHUNK);
  for (const name of await weightFiles(model)) {
    const file = await open(name);
    try {
      while ((await file.read(buffer, 0, CHUNK, null)).bytesRead > 0);
    } finally {
      await file.close();
    }
  }
}

async function weightFiles(model: string): Promise<string[]> {
  if ((await stat(model)).isFile()) return [model];
  const names = await readdir(model);
  return names.filter((name) => name.endsWith('.safetensors')).map((name) => path.join(model, name));
}

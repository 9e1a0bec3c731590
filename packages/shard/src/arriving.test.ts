import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, renameSync, statSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import type { ArrivingSource } from './arriving';
import { splitCheckpoint } from './split';
import { sharedFolder } from './testing/shared';
import { temporaryFolder } from './testing/temporary';
import { verifyShards } from './verify';

const golden = sharedFolder('golden-quant');
const WEIGHTS = /\.(safetensors|gguf)$/;

/** A folder that a test lets a model arrive in, byte by byte. */
class Arrival implements ArrivingSource {
  readonly dir = path.join(temporaryFolder(), 'snapshot');
  readonly files: readonly string[];
  readonly absent: ArrivingSource['absent'];
  bytesToCome = 0;
  readonly asked: string[] = [];
  readonly #from: string;
  readonly #came = new Map<string, number>();
  readonly #inPlace = new Set<string>();
  #failure: Error | undefined;
  readonly #wake = new Set<() => void>();

  constructor(name: string) {
    this.#from = path.join(golden!, name);
    mkdirSync(this.dir);
    const sizes = new Map<string, number>();
    for (const file of readdirSync(this.#from)) {
      if (file === 'expected.safetensors') continue;
      if (WEIGHTS.test(file)) sizes.set(file, statSync(path.join(this.#from, file)).size);
      else copyFileSync(path.join(this.#from, file), path.join(this.dir, file));
    }
    this.files = [...sizes.keys()].map((file) => path.join(this.dir, file));
    this.absent = {
      sizes,
      read: async (file, offset, length) =>
        new Uint8Array(readFileSync(path.join(this.#from, file)).subarray(offset, offset + length)),
    };
  }

  /** All of a file but its name. */
  comes(file: string, bytes = Infinity): void {
    const place = path.join(this.dir, file);
    if (!existsSync(`${place}.part`)) copyFileSync(path.join(this.#from, file), `${place}.part`);
    this.#came.set(place, bytes);
    this.#tell();
  }

  isInPlace(file: string): void {
    const place = path.join(this.dir, file);
    renameSync(`${place}.part`, place);
    this.isNamed(place);
  }

  isNamed(place: string): void {
    this.#inPlace.add(place);
    this.#tell();
  }

  fails(error: Error): void {
    this.#failure = error;
    this.#tell();
  }

  async written(file: string, _from: number, to: number): Promise<string> {
    this.asked.push(file);
    await this.#until(() => (this.#came.get(file) ?? 0) >= to);
    return this.#inPlace.has(file) ? file : `${file}.part`;
  }

  async ready(file: string): Promise<string> {
    await this.#until(() => this.#inPlace.has(file));
    return file;
  }

  async settled(): Promise<void> {
    await this.#until(() => this.files.every((file) => this.#inPlace.has(file)));
  }

  #tell(): void {
    for (const wake of this.#wake) wake();
    this.#wake.clear();
  }

  async #until(condition: () => boolean): Promise<void> {
    while (!condition()) {
      if (this.#failure) throw this.#failure;
      await new Promise<void>((resolve) => this.#wake.add(resolve));
    }
  }
}

const contents = (dir: string) =>
  Object.fromEntries(
    readdirSync(dir)
      .filter((name) => name.endsWith('.safetensors'))
      .map((name) => [name, readFileSync(path.join(dir, name)).toString('hex')]),
  );

async function expected(name: string): Promise<Record<string, string>> {
  const out = path.join(temporaryFolder(), 'expected');
  const source = path.join(golden!, name);
  const gguf = readdirSync(source).find((file) => file.endsWith('.gguf'));
  await splitCheckpoint(gguf === undefined ? source : path.join(source, gguf), out);
  return contents(out);
}

describe.skipIf(golden === undefined)('a source that is being downloaded', () => {
  test('is rewritten as it comes, and finished when all of it is there', async () => {
    const name = 'gguf-split-q8_0';
    const arrival = new Arrival(name);
    const out = path.join(temporaryFolder(), 'out');
    const [first, ...others] = arrival.files.map((file) => path.basename(file)) as [string, ...string[]];
    let finished = false;
    const splitting = splitCheckpoint(path.join(arrival.dir, first), out, { arriving: arrival }).finally(() => {
      finished = true;
    });
    const written = () => (existsSync(out) ? readdirSync(out).filter((file) => file.endsWith('.safetensors')) : []);
    arrival.comes(first);
    await expect.poll(() => arrival.asked.length).toBeGreaterThan(1);
    expect(written().length).toBeLessThan(Object.keys(await expected(name)).length);
    for (const other of others) arrival.comes(other);
    await expect.poll(() => written().length).toBe(Object.keys(await expected(name)).length);
    expect(finished).toBe(false);
    expect(existsSync(path.join(out, 'manifest.json'))).toBe(false);
    for (const file of [first, ...others]) arrival.isInPlace(file);
    const { manifest } = await splitting;
    expect(contents(out)).toEqual(await expected(name));
    await verifyShards(out);
    // As if it had been there all the time: to go over it again is to find it finished.
    expect(manifest.source.files.every(({ headerSha256 }) => headerSha256 !== 'arriving')).toBe(true);
    expect(await splitCheckpoint(path.join(arrival.dir, first), out)).toMatchObject({ filesWritten: 0 });
  });

  test('may get its final name at any moment', async () => {
    const name = 'gguf-q4_k';
    const arrival = new Arrival(name);
    const out = path.join(temporaryFolder(), 'out');
    const written = arrival.written.bind(arrival);
    // What was told is no longer there when the worker looks.
    arrival.written = async (...range) => {
      const file = await written(...range);
      if (file.endsWith('.part') && existsSync(file)) renameSync(file, file.slice(0, -'.part'.length));
      return file;
    };
    const ready = arrival.ready.bind(arrival);
    arrival.ready = async (file) => {
      arrival.isNamed(file);
      return ready(file);
    };
    arrival.comes('model.gguf');
    await splitCheckpoint(path.join(arrival.dir, 'model.gguf'), out, { arriving: arrival });
    expect(contents(out)).toEqual(await expected(name));
  });

  test('that fails ends the work with its error, at once for those that wait', async () => {
    const arrival = new Arrival('gguf-split-q8_0');
    const out = path.join(temporaryFolder(), 'out');
    const splitting = splitCheckpoint(arrival.files[0]!, out, { arriving: arrival });
    splitting.catch(() => {});
    await expect.poll(() => arrival.asked.length).toBeGreaterThan(0);
    arrival.fails(new Error('no such host'));
    await expect(splitting).rejects.toThrow('no such host');
    const again = new AbortController();
    const waiting = new Arrival('gguf-split-q8_0');
    const aborted = splitCheckpoint(waiting.files[0]!, out, { arriving: waiting, signal: again.signal });
    await expect.poll(() => waiting.asked.length).toBeGreaterThan(0);
    again.abort(new Error('enough'));
    await expect(aborted).rejects.toThrow('enough');
  });
});

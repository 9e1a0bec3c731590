import { cp, mkdir, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createExecutor } from '@airllm/kernels';
import { DisposedError, openCheckpoint, openReader } from '@airllm/loader';
import { afterEach, describe, expect, test } from 'vitest';
import { Engine } from '../engine';
import type { HubFile, PulledModel } from '../hub/types';
import { buildModel } from '../models/registry';
import { planResidency } from '../plan/residency';
import { temporaryFolder } from '../testing/temporary';
import { type ArrivingFiles, ArrivingReader } from './arriving-reader';
import { StaleWeightsError } from './errors';

const fixture = fileURLToPath(new URL('../../../../apps/conformance/fixtures/llama', import.meta.url));
const NAME = 'model.safetensors';
const closing: (() => Promise<unknown>)[] = [];

afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

/** A download of one file of which a test says how far it is. */
class FakePull implements ArrivingFiles {
  readonly repo = 'org/name';
  readonly files: HubFile[];
  readonly done: Promise<PulledModel>;
  stopped: unknown;
  #written = 0;
  #file: string;
  #failed: { error: unknown } | undefined;
  readonly #wake = new Set<() => void>();
  #finish!: () => void;
  #fail!: (error: unknown) => void;

  constructor(
    readonly dir: string,
    readonly part: string,
    size: number,
  ) {
    this.#file = part;
    this.files = [{ path: NAME, size, etag: 'e', sha256: 'e' }];
    this.done = new Promise((resolve, reject) => {
      this.#finish = () => resolve({ repo: this.repo, commit: '', dir, files: this.files, bytesReceived: size });
      this.#fail = reject;
    });
    this.done.catch(() => {});
  }

  async written(_path: string, _from: number, to: number): Promise<string> {
    while (this.#written < to) {
      if (this.#failed) throw this.#failed.error;
      await new Promise<void>((wake) => this.#wake.add(wake));
    }
    return this.#file;
  }

  async ready(): Promise<string> {
    await this.done;
    return this.#file;
  }

  upTo(bytes: number): void {
    this.#written = bytes;
    this.#wakeAll();
  }

  async complete(): Promise<void> {
    this.#file = join(this.dir, NAME);
    await rename(this.part, this.#file);
    this.#finish();
  }

  fail(error: unknown): void {
    this.stopped = error;
    this.#failed = { error };
    this.#fail(error);
    this.#wakeAll();
  }

  #wakeAll(): void {
    for (const wake of this.#wake) wake();
    this.#wake.clear();
  }
}

async function opened() {
  const dir = join(temporaryFolder(), 'snapshot');
  await mkdir(dir);
  const checkpoint = await openCheckpoint(fixture);
  const part = join(dir, 'blob.incomplete');
  await cp(join(fixture, NAME), part);
  const place = (file: string) => join(dir, file.slice(fixture.length + 1));
  const tensors = new Map(
    [...checkpoint.tensors].map(([name, tensor]) => {
      const { extent, ...rest } = tensor;
      return [
        name,
        Object.assign(Object.create(Object.getPrototypeOf(tensor)), tensor, {
          ...rest,
          extent: { ...extent!, file: place(extent!.file) },
        }),
      ];
    }),
  );
  const size = Math.max(...[...checkpoint.tensors.values()].map(({ extent }) => extent!.offset + extent!.length));
  const model = buildModel(checkpoint.config, { tensors });
  const pull = new FakePull(dir, part, size);
  const drive = await openReader({ kind: 'plain' });
  const reader = new ArrivingReader(drive, pull, (reason) => pull.fail(reason));
  const executor = await createExecutor({ executor: 'reference' });
  const options = { processBytes: 0, contextLength: 64, readAlignment: 1 };
  const plan = planResidency(model, options);
  const engine = new Engine({ model, plan, executor, reader, arrival: reader });
  closing.push(
    () => reader.close(),
    () => executor.dispose(),
    () => engine.dispose(),
  );
  const step = async (signal?: AbortSignal) => {
    const sequence = await engine.openSequence(8);
    const rows = [1, 5, 9].map((input, position) => ({ sequence, position, input, wantsLogits: position === 2 }));
    return engine.step(
      rows.map((row) => ({ ...row, ropeLength: 3 })),
      { signal },
    );
  };
  return { engine, pull, reader, drive, size, step, plan };
}

const settle = () => new Promise((resolve) => setTimeout(resolve, 30));

test('what has arrived has been read when the last byte comes, and logits leave when it is verified', async () => {
  const { step, pull, drive, size, plan } = await opened();
  let left = false;
  const stepping = step().finally(() => {
    left = true;
  });
  stepping.catch(() => {});
  const ends = plan.segments.flatMap(({ weights }) => weights.map(({ extent }) => extent));
  const there = (bytes: number) =>
    ends.reduce((sum, { offset, length }) => sum + (offset + length <= bytes ? length : 0), 0);
  for (const share of [0.3, 0.6, 0.99, 1]) {
    const bytes = Math.floor(share * size);
    pull.upTo(bytes);
    // Read as soon as it has come: nothing but what is still to come is left to be read.
    await expect.poll(() => drive.stats.bytesRead).toBeGreaterThanOrEqual(there(bytes));
  }
  expect(there(0.99 * size)).toBeGreaterThan(0.9 * plan.bytes.weights);
  await settle();
  expect(left).toBe(false);
  await pull.complete();
  expect(await stepping).toHaveLength(1);
  // Every byte once, and the rows of the embedding.
  expect(drive.stats.bytesRead).toBeLessThan(1.01 * plan.bytes.weights);
  expect(await step()).toHaveLength(1);
});

describe('a wait', () => {
  test('ends with the signal’s reason, and the next call goes on', async () => {
    const { step, pull, size } = await opened();
    const controller = new AbortController();
    const stepping = step(controller.signal);
    await settle();
    controller.abort(new Error('enough'));
    await expect(stepping).rejects.toThrow('enough');
    const again = step();
    pull.upTo(size);
    await pull.complete();
    expect(await again).toHaveLength(1);
  });

  test('for the verification ends with the signal’s reason too', async () => {
    const { step, pull, size } = await opened();
    const controller = new AbortController();
    pull.upTo(size);
    const stepping = step(controller.signal);
    await settle();
    controller.abort(new Error('enough'));
    await expect(stepping).rejects.toThrow('enough');
  });

  test('ends when the engine is disposed, and with it the download', async () => {
    const { engine, step, pull } = await opened();
    const stepping = step().catch((error: unknown) => error);
    await settle();
    await engine.dispose();
    expect(DisposedError.isInstance(await stepping)).toBe(true);
    expect(DisposedError.isInstance(pull.stopped)).toBe(true);
  });

  test('ends when the download fails, with its error', async () => {
    const { step, pull } = await opened();
    const stepping = step();
    stepping.catch(() => {});
    await settle();
    pull.fail(new Error('no such host'));
    await expect(stepping).rejects.toThrow('no such host');
  });
});

test('nothing computed with bytes that were thrown away ever leaves', async () => {
  const { step, pull, reader, drive, size, plan } = await opened();
  pull.upTo(size);
  const stepping = step();
  stepping.catch(() => {});
  await expect.poll(() => drive.stats.bytesRead).toBeGreaterThanOrEqual(plan.bytes.weights);
  reader.discarded(pull.files[0]!);
  await pull.complete();
  await expect(stepping).rejects.toSatisfy(StaleWeightsError.isInstance);
  await expect(step()).rejects.toSatisfy(StaleWeightsError.isInstance);
});

import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createExecutor, type ExecutorName, type KvCacheDType } from '@airllm/kernels';
import { openCheckpoint, openReader, ScratchFile, WriteError } from '@airllm/loader';
import { afterAll, afterEach, describe, expect, test, vi } from 'vitest';
import { canMount } from '../../../../.ci/mount';
import { buildModel } from '../models/registry';
import { planResidency } from '../plan/residency';
import type { PlanOptions } from '../plan/types';
import { StateDamagedError, StateSpaceError } from '../state-errors';
import { haveShared, shared, sharedFolders } from '../testing/shared';
import { temporaryFolder } from '../testing/temporary';
import { Engine } from './engine';
import type { Row } from './rows';
import type { Sequence } from './sequence';

const fixture = (name: string) =>
  fileURLToPath(new URL(`../../../../apps/conformance/fixtures/${name}`, import.meta.url));
const closing: (() => Promise<void>)[] = [];

// Starting their threads would take longer than the tests.
const readers = openReader({ threads: 1 });
const executors = {
  native: createExecutor({ executor: 'native', threads: 2 }),
  reference: createExecutor({ executor: 'reference' }),
};

afterAll(async () => {
  await (await readers).close();
  for (const executor of Object.values(executors)) await (await executor).dispose();
});

afterEach(async () => {
  vi.restoreAllMocks();
  for (const close of closing.splice(0).reverse()) await close();
});

interface Setup extends Partial<PlanOptions> {
  readonly kvCacheDtype?: KvCacheDType;
  readonly executor?: ExecutorName;
}

async function open(dir: string, { kvCacheDtype = 'float32', executor: name = 'native', ...plan }: Setup = {}) {
  const checkpoint = await openCheckpoint(dir);
  const model = buildModel(checkpoint.config, checkpoint, { kvCacheDtype });
  const reader = await readers;
  const executor = await executors[name as 'native' | 'reference'];
  const options: PlanOptions = { processBytes: 0, contextLength: 256, readAlignment: reader.alignment, ...plan };
  const engine = new Engine({ model, plan: planResidency(model, options), executor, reader });
  closing.push(() => engine.dispose());
  return engine;
}

const tokens = (engine: Engine, count: number, seed: number) =>
  Array.from({ length: count }, (_, i) => (i * 37 + seed * 101 + 11) % engine.model.config.vocabSize);

function rowsOf(sequence: Sequence, ids: readonly number[], to = ids.length): Row[] {
  const from = sequence.length;
  return ids.slice(from, to).map((input, i) => ({ sequence, position: from + i, input, wantsLogits: true }));
}

/** Sequences that come in pieces, side by side, taken back, forked and left: the logits of every row. */
async function everything(engine: Engine): Promise<Buffer> {
  const logits: Float32Array[] = [];
  const step = async (...rows: Row[][]) => logits.push(...(await engine.step(rows.flat())));
  using a = await engine.openSequence(96);
  const b = await engine.openSequence(64);
  const [first, second, third] = [tokens(engine, 90, 1), tokens(engine, 60, 2), tokens(engine, 90, 3)];
  await step(rowsOf(a, first, 40), rowsOf(b, second, 7));
  await step(rowsOf(b, second, 33), rowsOf(a, first, 64));
  for (const to of [65, 66]) await step(rowsOf(a, first, to));
  await step(rowsOf(a, first, 70));
  // What was drafted in vain.
  a.truncate(67);
  await step(rowsOf(a, third, 69), rowsOf(b, second, 34));
  b.dispose();
  const fork = engine.forkSequence(a, 96);
  await step(rowsOf(a, first, 75));
  if (fork === null) throw new Error('no room for the fork');
  await step(rowsOf(fork, third, 80), rowsOf(a, third, 90));
  a.dispose();
  await step(rowsOf(fork, first, 90));
  fork.dispose();
  return bytesOf(logits);
}

function bytesOf(logits: readonly Float32Array[]): Buffer {
  return Buffer.concat(logits.map((row) => Buffer.from(row.buffer, row.byteOffset, row.byteLength)));
}

const disk = (): Setup => ({ statePlace: 'disk', stateDir: temporaryFolder() });

describe('states on disk give the bytes of states in memory', () => {
  const models = [
    ...['llama', 'gemma3_text', 'qwen3_moe-fused'].map((name) => [name, () => fixture(name)] as const),
    ...(haveShared() ? sharedFolders('models') : []).map((name) => [name, () => shared(`models/${name}`)] as const),
  ];

  test.each(models)('%s', async (_, dir) => {
    for (const kvCacheDtype of ['float32', 'bfloat16', 'int8'] as const) {
      const expected = await everything(await open(dir(), { kvCacheDtype }));
      const engine = await open(dir(), { kvCacheDtype, ...disk() });
      expect((await everything(engine)).equals(expected)).toBe(true);
      const { stateBytesRead, stateBytesWritten } = engine.stats;
      expect(stateBytesRead).toBeGreaterThan(0);
      expect(stateBytesWritten).toBeGreaterThan(0);
    }
  });

  test('on the reference executor, and with weights that stream', async () => {
    const expected = await everything(await open(fixture('llama'), { executor: 'reference' }));
    const reference = await open(fixture('llama'), { executor: 'reference', ...disk() });
    expect((await everything(reference)).equals(expected)).toBe(true);
    const native = await everything(await open(fixture('llama')));
    const { floor } = reference.plan;
    const streaming = await open(fixture('llama'), { weightsMemory: floor.weightsMemory, ...disk() });
    expect(streaming.plan.streamedBytes).toBeGreaterThan(0);
    expect((await everything(streaming)).equals(native)).toBe(true);
  });
});

test('memory holds two layers of the states, and the file all of them', async () => {
  const options = disk();
  const engine = await open(fixture('llama'), options);
  const { layerCount } = engine.model.config;
  const { bytes, regions, regionBytes } = engine.plan.diskState!;
  expect(bytes).toBe(layerCount * regionBytes);
  const sequence = await engine.openSequence(256);
  await engine.step(rowsOf(sequence, tokens(engine, 256, 1)));
  expect(engine.stats.stateBytesWritten).toBe(bytes);
  expect(engine.stats.stateBytesRead).toBe(0);
  sequence.truncate(255);
  await engine.step(rowsOf(sequence, tokens(engine, 256, 1)));
  // A decoded token reads all, and writes each layer's last block.
  expect(engine.stats.stateBytesRead).toBe(bytes);
  expect(engine.stats.stateBytesWritten).toBe(bytes + bytes / 8);
  expect(engine.plan.bytes.state).toBe(regions * regionBytes + engine.plan.diskState!.threadBytes);
  if (process.platform === 'linux') expect(readdirSync(options.stateDir!)).toEqual([]);
  sequence.dispose();
});

test('sequences wait for room, and find it', async () => {
  const engine = await open(fixture('gemma3_text'), disk());
  const [a, b] = [await engine.openSequence(128), await engine.openSequence(128)];
  let entered = false;
  const third = engine.openSequence(32).then((sequence) => {
    entered = true;
    return sequence;
  });
  await new Promise((resolve) => setTimeout(resolve, 20));
  expect(entered).toBe(false);
  await engine.step([...rowsOf(a, tokens(engine, 128, 1)), ...rowsOf(b, tokens(engine, 128, 2))]);
  a.dispose();
  const c = await third;
  await engine.step([...rowsOf(c, tokens(engine, 32, 3))]);
  b.dispose();
  c.dispose();
});

test('a step that is broken off leaves sequences as they were', async () => {
  const { floor } = (await open(fixture('llama'))).plan;
  const engine = await open(fixture('llama'), { weightsMemory: floor.weightsMemory, ...disk() });
  const alone = await open(fixture('llama'));
  const ids = tokens(engine, 90, 1);
  const expected = await (async () => {
    using sequence = await alone.openSequence(90);
    return await alone.step(rowsOf(sequence, ids));
  })();
  using sequence = await engine.openSequence(90);
  const logits = await engine.step(rowsOf(sequence, ids, 50));
  // Aborted at the first, second, … segment: some layers have stored the new rows by then, others not.
  let aborted = 0;
  for (;;) {
    const aborter = new AbortController();
    let looks = 0;
    const signal = new Proxy(aborter.signal, {
      get(target, key) {
        if (key === 'throwIfAborted' && looks++ === aborted) aborter.abort(new Error('enough'));
        const value = Reflect.get(target, key, target);
        return typeof value === 'function' ? value.bind(target) : value;
      },
    });
    const result = await engine.step(rowsOf(sequence, ids, 70), { signal }).catch((error: Error) => error);
    if (Array.isArray(result)) {
      logits.push(...result);
      break;
    }
    expect(result.message).toBe('enough');
    expect(sequence.length).toBe(50);
    aborted++;
  }
  expect(aborted).toBeGreaterThan(engine.plan.segments.length);
  logits.push(...(await engine.step(rowsOf(sequence, ids))));
  expect(Buffer.compare(bytesOf(logits), bytesOf(expected))).toBe(0);
});

describe('what a drive may do', () => {
  test('bytes that come back as others are an error that says where', async () => {
    const engine = await open(fixture('llama'), disk());
    using sequence = await engine.openSequence(100);
    const ids = tokens(engine, 100, 1);
    await engine.step(rowsOf(sequence, ids, 80));
    const read = ScratchFile.prototype.read;
    vi.spyOn(ScratchFile.prototype, 'read').mockImplementation(async function (this: ScratchFile, run, into, each) {
      const checksums = await read.call(this, run, into, each);
      checksums[1]! ^= 1;
      return checksums;
    });
    const error = await engine.step(rowsOf(sequence, ids)).catch((reason: unknown) => reason);
    if (!StateDamagedError.isInstance(error)) throw error;
    expect([error.layer, error.position]).toEqual([0, 32]);
    vi.restoreAllMocks();
    // The drive was right the next time.
    await engine.step(rowsOf(sequence, ids));
  });

  test.skipIf(!canMount())('a drive that is full after all is an error, and nothing hangs', async () => {
    const mount = join(temporaryFolder(), 'small');
    mkdirSync(mount);
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=4m', 'none', mount]);
    try {
      const engine = await open(fixture('llama'), { statePlace: 'disk', stateDir: mount, contextLength: 2 ** 17 });
      // Too little room for all that a sequence may come to is an error before anything is run.
      const refused = await engine.openSequence(2 ** 16).catch((reason: unknown) => reason);
      if (!StateSpaceError.isInstance(refused)) throw refused;
      expect(refused.needed).toBeGreaterThan(refused.available);
      using sequence = await engine.openSequence(200);
      const ids = tokens(engine, 200, 1);
      await engine.step(rowsOf(sequence, ids, 70));
      execFileSync('sh', ['-c', 'cat /dev/zero > "$0/filler" || true', mount], { stdio: 'ignore' });
      const error = await engine.step(rowsOf(sequence, ids)).catch((reason: unknown) => reason);
      if (!WriteError.isInstance(error)) throw error;
      expect(error.errno).toBe('ENOSPC');
      // Its last block may be half of this and half of that: it is refused until it is run anew.
      await expect(engine.step(rowsOf(sequence, ids, 71))).rejects.toSatisfy(WriteError.isInstance);
      execFileSync('rm', [join(mount, 'filler')]);
      sequence.truncate(0);
      await engine.step(rowsOf(sequence, ids));
      await engine.dispose();
    } finally {
      execFileSync('umount', ['-l', mount]);
    }
  });
});
